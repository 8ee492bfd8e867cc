// SPDX-License-Identifier: GPL-3.0-or-later
// mesos-master: puts the master together in the order of Mesos' own main program.
#include "launcher.hpp"
#include <cerrno>
#include <cstdio>
#include <sys/stat.h>

using namespace mesos;
using namespace mesos::internal;
using namespace mesos::internal::master;
using mesos::master::contender::MasterContender;
using mesos::master::detector::MasterDetector;
using mesos::master::detector::StandaloneMasterDetector;

static void makeDirectories(const String& path, const char* flag) {
  for (size_t end = 1; end <= path.size(); end++)
    if (end == path.size() || path[end] == '/')
      if (mkdir(path.substr(0, end).c_str(), 0755) && errno != EEXIST)
        die(String(flag) + "=" + path + ": " + strerror(errno));
}

// zk://[user:password@]servers/path
struct ZooKeeperUrl {
  String servers, path;
  Option<zookeeper::Authentication> authentication;

  explicit ZooKeeperUrl(String url) {
    if (url.compare(0, 5, "zk://")) die("--zk is not a zk:// URL");
    url.erase(0, 5);
    const size_t slash = std::min(url.find('/'), url.size());
    size_t start = url.find_last_of('@', slash);
    if (start == String::npos) {
      start = 0;
    } else {
      new (&authentication) Option<zookeeper::Authentication>({"digest", url.substr(0, start)});
      start++;
    }
    servers = url.substr(start, slash - start);
    path = url.substr(slash);
    if (path.empty() || path.back() != '/') path += '/';
  }
};

static mesos::log::Log* createLog(const FlagSet& flags, const OptionalString& zk) {
  auto& workDir = flags.get<OptionalString>("work_dir");
  if (workDir.isNone()) die("--work_dir is missing: the replicated_log registry needs it");
  makeDirectories(workDir.get(), "--work_dir");
  const String path = workDir.get() + "/replicated_log";
  const bool autoInitialize = flags.get<bool>("log_auto_initialize");
  const OptionalString prefix(String("registrar/"));
  if (zk.isNone()) return make<mesos::log::Log>(1, path, std::set<process::UPID>(), autoInitialize, prefix);

  auto& quorum = flags.get<Option<int>>("quorum");
  if (quorum.isNone()) die("--quorum is missing: the replicated_log registry needs it together with --zk");
  const ZooKeeperUrl url(zk.get());
  return make<mesos::log::Log>(quorum.get(), path, url.servers, flags.get<Duration>("zk_session_timeout"),
                               url.path + "log_replicas", url.authentication, autoInitialize, prefix);
}

static state::Storage* createStorage(const FlagSet& flags, const OptionalString& zk) {
  const String& registry = flags.get<String>("registry");
  if (registry == "in_memory") return reinterpret_cast<state::Storage*>(make<state::InMemoryStorage>());
  if (registry == "replicated_log" || registry == "log_storage")
    return reinterpret_cast<state::Storage*>(make<state::LogStorage>(createLog(flags, zk), 0));
  die("--registry=" + registry + " is neither replicated_log nor in_memory");
}

static mesos::allocator::Allocator* createAllocator(const FlagSet& flags) {
  using Allocator = internal::master::allocator::MesosAllocator<
      internal::master::allocator::HierarchicalAllocatorProcess<internal::master::allocator::DRFSorter,
                                                                internal::master::allocator::DRFSorter>>;
  const std::pair<const char*, const char*> available[] = {
      {"allocator", "hierarchical"}, {"role_sorter", "drf"}, {"framework_sorter", "drf"}};
  for (auto [flag, only] : available)
    if (flags.get<String>(flag) != only) die(String("this build has nothing but --") + flag + "=" + only);
  return reinterpret_cast<mesos::allocator::Allocator*>(make<Allocator>());
}

// --agent_removal_rate_limit=COUNT/DURATION
static Option<std::shared_ptr<process::RateLimiter>> createRemovalLimiter(const FlagSet& flags) {
  auto& rate = flags.get<OptionalString>("agent_removal_rate_limit");
  if (rate.isNone()) return {};
  const std::map<String, double> nanoseconds{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"secs", 1e9},
                                             {"mins", 60e9}, {"hrs", 3600e9}, {"days", 86400e9}, {"weeks", 604800e9}};
  int count, end = 0;
  double number;
  char unit[8];
  if (sscanf(rate.get().c_str(), "%d/%lf%7s%n", &count, &number, unit, &end) != 3 || !nanoseconds.count(unit) ||
      size_t(end) != rate.get().size())
    die("--agent_removal_rate_limit=" + rate.get() + " is not COUNT/DURATION, such as 1/10mins");
  auto* limiter = make<process::RateLimiter>(count, Duration{int64_t(number * nanoseconds.at(unit))});
  return std::shared_ptr<process::RateLimiter>(limiter, [](void*) {});
}

int masterMain(int argc, char** argv) {
  auto* raw = make<Flags>();
  const FlagSet flags(raw);
  startup(flags, argc, argv, "mesos-master");

  const OptionalString zk = masterUrl(flags, "zk");
  const OptionalString &contenderModule = flags.get<OptionalString>("master_contender"),
                       &detectorModule = flags.get<OptionalString>("master_detector");
  if (zk.isSome() && (contenderModule.isSome() || detectorModule.isSome()))
    die("--zk excludes --master_contender and --master_detector");
  if (contenderModule.isSome() != detectorModule.isSome())
    die("--master_contender and --master_detector go together");

  startServices(flags, "master", "mesos-master");
  const OptionalString realm(String("mesos-master-readonly"));
  auto* allocator = createAllocator(flags);
  auto* registrar = make<Registrar>(*raw, new state::State(createStorage(flags, zk)), realm);
  const Option<Duration> session(flags.get<Duration>("zk_session_timeout"));
  auto* contender = ok(MasterContender::create(zk, contenderModule, session), "leader election");
  auto* detector = ok(MasterDetector::create(zk, detectorModule, session), "master detection");
  auto authorizer = createAuthorizer(flags, "authorizers");
  auto* files = make<Files>(realm, authorizer);
  auto* master = make<Master>(allocator, registrar, files, contender, detector, authorizer,
                              createRemovalLimiter(flags), *raw);

  if (zk.isNone() && detectorModule.isNone()) {
    // Alone, the master appoints itself; Master::info_, its own MasterInfo, has no accessor in the library.
    const size_t infoOffset = 0xe88;
    reinterpret_cast<StandaloneMasterDetector*>(detector)->appoint(
        Option<MasterInfo>(*reinterpret_cast<MasterInfo*>(reinterpret_cast<char*>(master) + infoOffset)));
  }
  run(master);
}
