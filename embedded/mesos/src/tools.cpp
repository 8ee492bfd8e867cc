// SPDX-License-Identifier: GPL-3.0-or-later
// The small programs: two that the agent starts for its containers, two for operators.
#include "launcher.hpp"
#include <csignal>
#include <iostream>
#include <unistd.h>

using namespace mesos;
using namespace mesos::internal;
using mesos::master::detector::MasterDetector;

int containerizerMain(int argc, char** argv) {
  static Subcommand* const subcommands[] = {new internal::slave::MesosContainerizerLaunch,
                                            make<internal::slave::NetworkCniIsolatorSetup>()};
  for (auto* subcommand : subcommands) {
    if (argc < 2 || subcommand->name != argv[1]) continue;
    const FlagSet flags(subcommand->getFlags());
    auto loaded = flags->load(OptionalString("MESOS_CONTAINERIZER_"), argc - 1, argv + 1, false, false);
    if (loaded.isError()) {
      std::cerr << loaded.error() << std::endl;
      return 1;
    }
    if (flags->help) {
      std::cout << flags.usage(String("mesos-containerizer ") + argv[1]);
      return 0;
    }
    return subcommand->execute();
  }
  std::cerr << "Usage: mesos-containerizer SUBCOMMAND [options], with one of:\n";
  for (auto* subcommand : subcommands) std::cerr << "    " << subcommand->name << "\n";
  return argc > 1 && !strcmp(argv[1], "help") ? 0 : 1;
}

static internal::slave::IOSwitchboardServer* switchboard;

int ioSwitchboardMain(int argc, char** argv) {
  using Server = internal::slave::IOSwitchboardServer;
  const FlagSet flags(make<Server::Flags>());
  auto loaded = flags->load(OptionalString("MESOS_IO_SWITCHBOARD_"), argc, argv, false, false);
  if (loaded.isError()) {
    std::cerr << loaded.error() << std::endl;
    return 1;
  }
  if (!flags.isSet("socket_address")) {
    std::cerr << "mesos-io-switchboard is started by the agent; --socket_address is missing" << std::endl;
    return 1;
  }
  auto descriptor = [&](const char* name) {
    auto& option = flags.get<Option<int>>(name);
    return option.isSome() ? option.get() : -1;
  };
  process::initialize(OptionalString(), OptionalString(), OptionalString());
  auto owned = ok(Server::create(flags.get<bool>("tty"), descriptor("stdin_to_fd"), descriptor("stdout_from_fd"),
                                 descriptor("stdout_to_fd"), descriptor("stderr_from_fd"), descriptor("stderr_to_fd"),
                                 flags.get<OptionalString>("socket_address").get(),
                                 flags.get<bool>("wait_for_connection"),
                                 flags.get<Option<Duration>>("heartbeat_interval")),
                  "I/O switchboard");
  switchboard = **reinterpret_cast<Server***>(&owned);  // Owned<T> is a shared pointer to a T*
  signal(SIGTERM, [](int) { switchboard->unblock(); });
  switchboard->run().await(FOREVER);
  _exit(0);
}

// Operators' programs print their result and errors, not the progress of the library.
static void startQuietly() {
  fLI::FLAGS_minloglevel = ERROR;
  zoo_set_debug_level(1);  // errors only
  process::initialize(OptionalString(), OptionalString(), OptionalString());
}

int logMain(int argc, char** argv) {
  String path;
  for (int i = 2; i < argc; i++)
    if (!strncmp(argv[i], "--path=", 7)) path = argv[i] + 7;
  if (argc != 3 || strcmp(argv[1], "initialize") || path.empty()) {
    std::cerr << "Usage: mesos-log initialize --path=VALUE\n";
    return 1;
  }
  const Duration limit = seconds(60);
  startQuietly();
  auto* replica = make<internal::log::Replica>(path);
  auto status = replica->status();
  if (!status.await(limit)) {
    std::cerr << path << ": no answer from the log within 60 s\n";
    _exit(1);
  }
  if (status.get() != internal::log::EMPTY) {
    std::cerr << path << ": the log is initialized already\n";
    _exit(1);
  }
  auto done = replica->update(internal::log::VOTING);
  const bool good = done.await(limit) && done.get();
  (good ? std::cout : std::cerr) << path << (good ? ": initialized" : ": could not be initialized") << std::endl;
  _exit(good ? 0 : 1);
}

// MasterInfo.pid, "master@ip:port", without "master@". The class has no accessor in the library, but it serializes
// itself: a protobuf message is (field number << 3 | type), then a varint (type 0) or a length and so many bytes (2).
static String pidOf(const MasterInfo& info) {
  const String bytes = info.SerializeAsString();
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < bytes.size(); shift += 7) {
      const uint64_t byte = uint8_t(bytes[at++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.size()) {
    const uint64_t key = varint(), value = varint();
    if ((key & 7) == 0) continue;
    if ((key & 7) != 2 || value > bytes.size() - at) break;
    const String text = bytes.substr(at, value);
    if (key >> 3 == 4) return text.substr(text.find('@') + 1);
    at += value;
  }
  die("the leader's record has no pid");
}

int resolveMain(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    std::cerr << "Usage: mesos-resolve MASTER    (host:port or zk://...)\n";
    return 1;
  }
  startQuietly();
  auto* detector = ok(MasterDetector::create(OptionalString(argv[1]), OptionalString(), Option<Duration>(seconds(10))),
                      "master detection");
  auto leader = detector->detect(Option<MasterInfo>());
  if (!leader.await(seconds(5)) || leader.get().isNone()) {
    std::cerr << "no leading master at " << argv[1] << " within 5 s\n";
    _exit(1);
  }
  std::cout << pidOf(leader.get().get()) << std::endl;
  _exit(0);
}
