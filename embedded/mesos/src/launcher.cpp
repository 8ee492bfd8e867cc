// SPDX-License-Identifier: GPL-3.0-or-later
// One executable for all program names; it is the name it is called by that counts.
#include "launcher.hpp"
#include <iomanip>
#include <iostream>
#include <sstream>
#include <unistd.h>

using namespace mesos;
using namespace mesos::internal;

static const char VERSION[] = "1.11.0";

// The library was linked as a Python 2 module and wants these to exist; it never uses them here.
extern "C" { long _Py_NoneStruct[8]; void *PyExc_Exception, *PyExc_TypeError; }

void die(const String& reason) {
  LOG(ERROR) << "Giving up: " << reason;
  exit(EXIT_FAILURE);
}

String FlagSet::usage(const String& program) const {
  std::vector<std::pair<String, String>> rows;
  size_t width = 0;
  for (auto& [name, flag] : base->flags_) {
    const bool boolean = flag.boolean;
    auto spelled = [boolean](const String& n) { return boolean ? "--[no-]" + n : "--" + n + "=VALUE"; };
    String left = "  " + spelled(name);
    if (flag.alias.isSome()) left += " or " + spelled(flag.alias.get().value);
    rows.push_back({left, flag.help});
    width = std::max(width, left.size());
  }
  std::ostringstream out;
  out << "Usage: " << program << " [options]\n\n";
  for (auto& [left, help] : rows) {
    std::istringstream lines(help);
    String line;
    for (bool first = true; std::getline(lines, line) || first; first = false)
      out << std::left << std::setw(width + 5) << (first ? left : "") << line << "\n";
  }
  return out.str();
}

// Libprocess takes its addresses from the environment, and only the first time it starts.
static void setLibprocessEnvironment(const FlagSet& flags) {
  auto address = [&](const char* ip, const char* command, const char* variable) {
    auto &fixed = flags.get<OptionalString>(ip), &discovery = flags.get<OptionalString>(command);
    if (fixed.isSome() && discovery.isSome()) die(String("--") + ip + " and --" + command + " exclude each other");
    String value = fixed.isSome() ? fixed.get() : "";
    if (discovery.isSome()) {
      value = ok(os::shell<>(discovery.get()), String("running --") + command);
      value.erase(value.find_last_not_of(" \t\r\n") + 1);
    }
    if (!value.empty()) setenv(variable, value.c_str(), 1);
  };
  address("ip", "ip_discovery_command", "LIBPROCESS_IP");
  if (flags.has("ip6")) address("ip6", "ip6_discovery_command", "LIBPROCESS_IP6");
  setenv("LIBPROCESS_PORT", std::to_string(flags.get<uint16_t>("port")).c_str(), 1);
  if (flags.isSet("advertise_ip"))
    setenv("LIBPROCESS_ADVERTISE_IP", flags.get<OptionalString>("advertise_ip").get().c_str(), 1);
  if (flags.isSet("advertise_port"))
    setenv("LIBPROCESS_ADVERTISE_PORT", flags.get<OptionalString>("advertise_port").get().c_str(), 1);
  setenv("LIBPROCESS_MEMORY_PROFILING", flags.get<bool>("memory_profiling") ? "true" : "false", 1);
}

void startup(const FlagSet& flags, int argc, char** argv, const char* program) {
  auto loaded = flags->load(OptionalString("MESOS_"), argc, argv, false, false);
  if (flags->help) {
    std::cout << flags.usage(program) << std::endl;
    exit(EXIT_SUCCESS);
  }
  if (flags.get<bool>("version")) {
    std::cout << "mesos " << VERSION << std::endl;
    exit(EXIT_SUCCESS);
  }
  if (loaded.isError()) {
    std::cerr << loaded.error() << "\n(" << program << " --help lists the flags)" << std::endl;
    exit(EXIT_FAILURE);
  }

  // logging::initialize wants an Option<logging::Flags>, which is { SOME = 0, flags }. The object is loaded from the
  // same arguments a second time, every flag that is not about logging ignored.
  char* option = static_cast<char*>(calloc(1, 4096));
  logging::Flags* logFlags = new (option + 8) logging::Flags;
  asm volatile("" : "+r"(logFlags));
  static_cast<flags::FlagsBase*>(logFlags)->load(OptionalString("MESOS_"), argc, argv, true, true);
  logging::initialize(argv[0], true, *reinterpret_cast<Option<logging::Flags>*>(option));
  for (auto& warning : loaded.get().warnings) LOG(WARNING) << warning.message;

  setLibprocessEnvironment(flags);
}

void startServices(const FlagSet& flags, const String& delegate, const String& realm) {
  LOG(INFO) << "Mesos " << VERSION << ", library built " << build::DATE << " by " << build::USER;
  if (!process::initialize(OptionalString(delegate), OptionalString(realm + "-readwrite"),
                           OptionalString(realm + "-readonly")))
    die("libprocess is already running");
  process::spawn(make<VersionProcess>(), true);

  if (flags.unknown<void*>("firewall_rules")) die("this build does not have --firewall_rules");
  const Modules* manifest = flags.unknown<Modules>("modules");
  if (flags.isSet("modules_dir")) {
    if (manifest) die("--modules and --modules_dir exclude each other");
    ok(modules::ModuleManager::load(flags.get<OptionalString>("modules_dir").get()), "loading modules");
  }
  if (manifest) ok(modules::ModuleManager::loadManifest(*manifest), "loading modules");
  for (auto& name : modules::ModuleManager::find<modules::Anonymous>())
    ok(modules::ModuleManager::create<modules::Anonymous>(name, {}), "anonymous module " + name);
  if (flags.isSet("hooks")) ok(HookManager::initialize(flags.get<OptionalString>("hooks").get()), "hooks");
}

Option<Authorizer*> createAuthorizer(const FlagSet& flags, const char* flag) {
  const String& name = flags.get<String>(flag);
  if (name.empty() || name.find(',') != String::npos) die(String("--") + flag + " takes exactly one name");
  const ACLs* acls = flags.unknown<ACLs>("acls");
  if (name == "local" && !acls) return {};
  LOG(INFO) << "Authorizer: " << name;
  Authorizer* authorizer =
      ok(name == "local" ? Authorizer::create(*acls) : Authorizer::create(name), "authorizer " + name);
  process::http::authorization::setCallbacks(authorization::createAuthorizationCallbacks(authorizer));
  return authorizer;
}

OptionalString masterUrl(const FlagSet& flags, const char* flag) {
  auto& option = flags.get<Option<flags::PathOrValue>>(flag);
  return option.isSome() ? OptionalString(option.get().value) : OptionalString();
}

void run(process::ProcessBase* main) {
  process::UPID pid = process::spawn(main, false);
  process::wait(pid, FOREVER);
  google::FlushLogFiles(INFO);
  _exit(EXIT_SUCCESS);  // the objects were made without destructors, so no orderly teardown
}

int main(int argc, char** argv) {
  String name = argv[0];
  name.erase(0, name.rfind('/') + 1);
  const std::map<String, int (*)(int, char**)> programs{
      {"mesos-master", masterMain},
      {"mesos-agent", agentMain},
      {"mesos-slave", agentMain},
      {"mesos-containerizer", containerizerMain},
      {"mesos-io-switchboard", ioSwitchboardMain},
      {"mesos-log", logMain},
      {"mesos-resolve", resolveMain}};
  auto program = programs.find(name);
  if (program != programs.end()) return program->second(argc, argv);
  std::cerr << "This is the Mesos " << VERSION << " launcher; call it by one of these names:";
  for (auto& [known, unused] : programs) std::cerr << " " << known;
  std::cerr << std::endl;
  return 2;
}
