// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of Mesos that its own main programs put together; see base.hpp for what these declarations are.
#pragma once
#include "base.hpp"

namespace mesos {
class ACLs;
class Modules;
class SecretGenerator;
namespace allocator { class Allocator; }

class Parameters {
  alignas(8) char storage[64];
 public:
  Parameters(const Parameters&);
  ~Parameters();
};
class MasterInfo : public google::protobuf::MessageLite {
  alignas(8) char storage[256];
 public:
  MasterInfo(const MasterInfo&);
  ~MasterInfo();
};
class Authorizer {
 public:
  static Try<Authorizer*> create(const ACLs&);
  static Try<Authorizer*> create(const String& name);
};
namespace authorization { process::http::authorization::Callbacks createAuthorizationCallbacks(Authorizer*); }
class SecretResolver { public: static Try<SecretResolver*> create(const Option<String>&); };
namespace authentication { namespace executor {
class JWTSecretGenerator { public: explicit JWTSecretGenerator(const String& secret); };
} }

namespace log {
class Log {
 public:
  Log(int quorum, const String& path, const std::set<process::UPID>& peers, bool autoInitialize,
      const Option<String>& metricsPrefix);
  Log(int quorum, const String& path, const String& servers, const Duration& timeout, const String& znode,
      const Option<zookeeper::Authentication>&, bool autoInitialize, const Option<String>& metricsPrefix);
};
}
namespace state {
class Storage;
class InMemoryStorage { public: InMemoryStorage(); };
class LogStorage { public: LogStorage(log::Log*, size_t diffsBetweenSnapshots); };
class State { public: State(Storage* s) : storage(s) {} virtual ~State() {} Storage* storage; };
}

namespace modules {
class Anonymous;
class ModuleManager {
 public:
  static Try<Nothing> load(const String& directory);
  static Try<Nothing> loadManifest(const Modules&);
  template <class T> static std::vector<String> find();
  template <class T> static Try<T*> create(const String& name, const Option<Parameters>&);
};
}

namespace master {
namespace contender {
class MasterContender {
 public:
  static Try<MasterContender*> create(const Option<String>& zk, const Option<String>& module, const Option<Duration>&);
};
}
namespace detector {
class MasterDetector {
 public:
  static Try<MasterDetector*> create(const Option<String>& zk, const Option<String>& module, const Option<Duration>&);
  virtual ~MasterDetector();
  virtual process::Future<Option<MasterInfo>> detect(const Option<MasterInfo>& previous) = 0;
};
class StandaloneMasterDetector { public: void appoint(const Option<MasterInfo>&); };
}
}
namespace slave {
class ResourceEstimator { public: static Try<ResourceEstimator*> create(const Option<String>&); };
class QoSController { public: static Try<QoSController*> create(const Option<String>&); };
}

namespace internal {
namespace build { extern const String DATE, USER; }

// The library has this class's methods but no vtable for it, so it is completed here with the same layout.
struct PendingFutureTrackerProcess : process::Process<PendingFutureTrackerProcess> {
  PendingFutureTrackerProcess() : ProcessBase("pending-future-tracker") {}
  std::list<int> pending;
};
struct PendingFutureTracker { PendingFutureTrackerProcess** process; void* count; };

class VersionProcess : public process::Process<VersionProcess> { public: VersionProcess(); };
class HookManager { public: static Try<Nothing> initialize(const String& names); };
class Files { public: Files(const Option<String>& realm, const Option<Authorizer*>&); };

namespace logging {
struct Flags : virtual flags::FlagsBase { Flags(); ~Flags(); char storage[0x80]; };
void initialize(const String& program, bool installFailureSignalHandler, const Option<Flags>&);
}
namespace log {
enum Metadata_Status { VOTING = 1, RECOVERING, STARTING, EMPTY };
class Replica {
 public:
  explicit Replica(const String& path);
  process::Future<Metadata_Status> status() const;
  process::Future<bool> update(const Metadata_Status&);
};
}

namespace master {
struct Flags : virtual logging::Flags { Flags(); ~Flags(); };
class Registrar { public: Registrar(const Flags&, state::State*, const Option<String>& realm); };
namespace allocator {
class DRFSorter;
template <class Role, class Framework> class HierarchicalAllocatorProcess;
template <class P> class MesosAllocator { public: MesosAllocator(); };
}
class Master : public ProtobufProcess<Master> {
 public:
  Master(mesos::allocator::Allocator*, Registrar*, Files*, mesos::master::contender::MasterContender*,
         mesos::master::detector::MasterDetector*, const Option<Authorizer*>&,
         const Option<std::shared_ptr<process::RateLimiter>>&, const Flags&);
};
}

namespace slave {
struct Flags : virtual logging::Flags { Flags(); ~Flags(); };
class CSIServer;
class Fetcher { public: explicit Fetcher(const Flags&); };
class GarbageCollector { public: explicit GarbageCollector(const String& workDir); };
class TaskStatusUpdateManager { public: explicit TaskStatusUpdateManager(const Flags&); };
class VolumeGidManager { public: static Try<VolumeGidManager*> create(const Flags&); };
class Containerizer {
 public:
  static Try<Containerizer*> create(const Flags&, bool local, Fetcher*, GarbageCollector*, SecretResolver*,
                                    VolumeGidManager*, PendingFutureTracker*, CSIServer*);
};
class Slave : public ProtobufProcess<Slave> {
 public:
  Slave(const String& id, const Flags&, mesos::master::detector::MasterDetector*, Containerizer*, Files*,
        GarbageCollector*, TaskStatusUpdateManager*, mesos::slave::ResourceEstimator*, mesos::slave::QoSController*,
        SecretGenerator*, VolumeGidManager*, PendingFutureTracker*, process::Owned<CSIServer>&&,
        const Option<process::network::internal::Socket<process::network::unix::Address>>&,
        const Option<Authorizer*>&);
};
class MesosContainerizerLaunch : public Subcommand {
 public:
  static const String NAME;
  MesosContainerizerLaunch() : Subcommand(NAME) {}
  ~MesosContainerizerLaunch();
  int execute();
  flags::FlagsBase* getFlags();
  struct Flags : virtual flags::FlagsBase { Flags(); ~Flags(); char storage[0x80]; } flags;
};
class NetworkCniIsolatorSetup : public Subcommand {
 public:
  NetworkCniIsolatorSetup();
  ~NetworkCniIsolatorSetup();
  int execute();
  flags::FlagsBase* getFlags();
};
class IOSwitchboardServer {
 public:
  struct Flags : virtual flags::FlagsBase { Flags(); ~Flags(); char storage[1024]; };
  static Try<process::Owned<IOSwitchboardServer>> create(bool tty, int stdinTo, int stdoutFrom, int stdoutTo,
                                                         int stderrFrom, int stderrTo, const String& socketPath,
                                                         bool waitForConnection, Option<Duration> heartbeat);
  process::Future<Nothing> run();
  process::Future<Nothing> unblock();
};
}
}
}
