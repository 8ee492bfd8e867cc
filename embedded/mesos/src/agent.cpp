// SPDX-License-Identifier: GPL-3.0-or-later
// mesos-agent: puts the agent together in the order of Mesos' own main program.
#include "launcher.hpp"
#include <fstream>
#include <sstream>
#include <unistd.h>

using namespace mesos;
using namespace mesos::internal;
using namespace mesos::internal::slave;
using mesos::master::detector::MasterDetector;

// --agent_subsystems: the agent itself moves into a cgroup of its own.
static void enterCgroups(const FlagSet& flags) {
  auto& subsystems = flags.get<OptionalString>("agent_subsystems");
  if (subsystems.isNone()) return;
  const String &hierarchyRoot = flags.get<String>("cgroups_hierarchy"), &root = flags.get<String>("cgroups_root");
  const String cgroup = root + "/slave";
  std::istringstream names(subsystems.get());
  String subsystem;
  while (std::getline(names, subsystem, ',')) {
    LOG(INFO) << "Agent cgroup: " << subsystem << ":" << cgroup;
    const String hierarchy = ok(cgroups::prepare(hierarchyRoot, subsystem, root), "cgroup " + root + " of " + subsystem);
    if (!cgroups::exists(hierarchy, cgroup)) ok(cgroups::create(hierarchy, cgroup, false), "creating cgroup " + cgroup);
    ok(cgroups::assign(hierarchy, cgroup, getpid()), "entering cgroup " + cgroup);
  }
}

static void startSystemdSupport(const FlagSet& flags) {
  if (!flags.get<bool>("systemd_enable_support") || !systemd::exists()) return;
  LOG(INFO) << "systemd support is on";
  auto* settings = make<systemd::Flags>();
  settings->enabled = true;
  settings->runtime_directory = flags.get<String>("systemd_runtime_directory");
  settings->cgroups_hierarchy = flags.get<String>("cgroups_hierarchy");
  ok(systemd::initialize(*settings), "systemd");
}

static SecretGenerator* createSecretGenerator(const FlagSet& flags) {
  auto& key = flags.get<Option<Path>>("jwt_secret_key");
  if (key.isNone()) return nullptr;
  std::ifstream file(key.get().value, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) die("--jwt_secret_key=" + key.get().value + " cannot be read");
  return reinterpret_cast<SecretGenerator*>(make<mesos::authentication::executor::JWTSecretGenerator>(text.str()));
}

int agentMain(int argc, char** argv) {
  auto* raw = make<Flags>();
  const FlagSet flags(raw);
  startup(flags, argc, argv, "mesos-agent");

  const OptionalString master = masterUrl(flags, "master");
  const OptionalString& detectorModule = flags.get<OptionalString>("master_detector");
  if (master.isNone() && detectorModule.isNone()) die("--master is missing");
  if (master.isSome() && detectorModule.isSome()) die("--master and --master_detector exclude each other");
  if (flags.get<bool>("http_executor_domain_sockets")) die("this build does not have --http_executor_domain_sockets");
  if (flags.isSet("csi_plugin_config_dir")) die("this build does not have --csi_plugin_config_dir");

  enterCgroups(flags);
  const String id = process::ID::generate("slave");
  startServices(flags, id, "mesos-agent");
  startSystemdSupport(flags);

  auto* fetcher = make<Fetcher>(*raw);
  auto* collector = make<GarbageCollector>(flags.get<String>("work_dir"));
  auto* resolver = ok(SecretResolver::create(flags.get<OptionalString>("secret_resolver")), "secret resolver");
  VolumeGidManager* gids =
      flags.isSet("volume_gid_range") ? ok(VolumeGidManager::create(*raw), "--volume_gid_range") : nullptr;
  auto* secrets = createSecretGenerator(flags);
  auto* futures = make<PendingFutureTrackerProcess>();
  process::spawn(futures, false);
  auto* tracker = new PendingFutureTracker{new PendingFutureTrackerProcess*(futures), nullptr};
  auto* containerizer =
      ok(Containerizer::create(*raw, false, fetcher, collector, resolver, gids, tracker, nullptr), "containerizer");
  const Option<Duration> session(flags.get<Duration>("zk_session_timeout"));
  auto* detector = ok(MasterDetector::create(master, detectorModule, session), "master detection");
  auto authorizer = createAuthorizer(flags, "authorizer");
  auto* files = make<Files>(OptionalString(String("mesos-agent-readonly")), authorizer);
  auto* updates = make<TaskStatusUpdateManager>(*raw);
  auto* estimator = ok(mesos::slave::ResourceEstimator::create(flags.get<OptionalString>("resource_estimator")),
                       "resource estimator");
  auto* qos = ok(mesos::slave::QoSController::create(flags.get<OptionalString>("qos_controller")), "QoS controller");
  run(make<Slave>(id, *raw, detector, containerizer, files, collector, updates, estimator, qos, secrets, gids, tracker,
                  process::Owned<CSIServer>(),
                  Option<process::network::internal::Socket<process::network::unix::Address>>(), authorizer));
}
