// SPDX-License-Identifier: GPL-3.0-or-later
// The parts below Mesos that the library exports: stout's value types, flags, glog, libprocess.
//
// The library ships without headers. These are declarations only, in the namespaces the library uses, so that the
// compiler forms the right symbol names and the linker checks every one. A layout is written down only where this
// program reads or writes an object itself; README.md ("The binary interface") says how each was found.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>
#undef unix

using String = std::string;
struct None {};
struct Nothing {};
struct Error { String message; };
class Duration { public: int64_t nanoseconds; };
struct Path { String value; char separator; };

template <class T>
class Option {
 public:
  enum { SOME, NONE } state = NONE;
  union { T value; };
  Option() {}
  Option(None) {}
  Option(const T& v) : state(SOME), value(v) {}
  Option(const Option& other) : state(other.state) { if (isSome()) new (&value) T(other.value); }
  ~Option() { if (isSome()) value.~T(); }
  bool isSome() const { return state == SOME; }
  bool isNone() const { return state != SOME; }
  const T& get() const { return value; }
};

template <class T, class E = Error>
class Try {
 public:
  Option<T> data;
  Option<E> failure;
  bool isError() const { return data.isNone(); }
  const String& error() const { return failure.get().message; }
  T& get() { return data.value; }
};

template <class K, class V, class H = std::hash<K>, class E = std::equal_to<K>>
class hashmap : public std::unordered_map<K, V, H, E> {};

extern "C" void zoo_set_debug_level(int);
namespace fLI { extern int FLAGS_minloglevel; }
namespace google {
class LogMessage {
  alignas(8) char storage[512];
 public:
  LogMessage(const char* file, int line, int severity);
  ~LogMessage();
  std::ostream& stream();
};
void FlushLogFiles(int);
namespace protobuf { class MessageLite { public: String SerializeAsString() const; }; }
}

namespace flags {
struct Warning { String message; };
struct Warnings { std::vector<Warning> warnings; };
struct Name { String value; bool deprecated; };
struct PathOrValue { Option<Path> path; String value; };
class FlagsBase;
struct Flag {
  Name name;
  Option<Name> alias, loaded_name;
  String help;
  bool boolean, required;
  std::function<Try<Nothing>(FlagsBase*, const String&)> load;
  std::function<Option<String>(const FlagsBase&)> stringify;
  std::function<Option<Error>(const FlagsBase&)> validate;
};
class FlagsBase {
 public:
  FlagsBase();
  virtual ~FlagsBase();
  Try<Warnings> load(const Option<String>& prefix, int argc, const char* const* argv, bool unknowns, bool duplicates);
  bool help;
  String programName;
  Option<String> usageMessage;
  std::map<String, Flag> flags_;
  std::map<String, String> aliases;
};
static_assert(sizeof(Flag) == 272 && sizeof(FlagsBase) == 184, "not the layout the library was compiled with");
}

class Subcommand {
 public:
  explicit Subcommand(const String& name) : name(name) {}
  virtual ~Subcommand();
  virtual int execute() = 0;
  virtual flags::FlagsBase* getFlags();
  String name;
  flags::FlagsBase flags_;
};

namespace zookeeper { struct Authentication { String scheme, credentials; }; }
namespace os { template <class... A> Try<String> shell(const String&, const A&...); }

namespace cgroups {
Try<String> prepare(const String& hierarchy, const String& subsystem, const String& cgroup);
bool exists(const String& hierarchy, const String& cgroup);
Try<Nothing> create(const String& hierarchy, const String& cgroup, bool recursive);
Try<Nothing> assign(const String& hierarchy, const String& cgroup, int pid);
}

namespace systemd {
struct Flags : virtual flags::FlagsBase {
  Flags();
  ~Flags();
  bool enabled;
  String runtime_directory, cgroups_hierarchy;
};
bool exists();
Try<Nothing> initialize(const Flags&);
}

namespace process {
class UPID { alignas(8) char storage[512]; public: ~UPID(); bool operator<(const UPID&) const; };
struct MessageEvent; struct DispatchEvent; struct HttpEvent; struct ExitedEvent; struct TerminateEvent; struct Event;

class ProcessBase {  // the order of the virtual functions is the library's
 public:
  explicit ProcessBase(const String& id);
  virtual ~ProcessBase();
  virtual void consume(MessageEvent&&);
  virtual void consume(DispatchEvent&&);
  virtual void consume(HttpEvent&&);
  virtual void consume(ExitedEvent&&);
  virtual void consume(TerminateEvent&&);
  virtual void serve(Event&&);
  virtual void initialize();
  virtual void finalize();
  virtual void exited(const UPID&);
  virtual void lost(const UPID&);
  char data[8];  // an empty base would be placed differently by the compiler
};
template <class T>
class Process : public virtual ProcessBase {
 protected:
  Process() : ProcessBase(String()) {}
};

UPID spawn(ProcessBase*, bool manage);
bool wait(const UPID&, const Duration&);
bool initialize(const Option<String>& delegate, const Option<String>& readwriteRealm, const Option<String>& readonlyRealm);
namespace ID { String generate(const String&); }

template <class T> class Owned { std::shared_ptr<void> data; };
template <class T>
class Future {
 public:
  std::shared_ptr<void> data;
  bool await(const Duration&) const;
  const T& get() const;
};
class RateLimiter { public: RateLimiter(int permits, const Duration&); virtual ~RateLimiter(); char storage[64]; };

namespace network {
namespace unix { class Address; }
namespace internal { template <class A> class Socket { std::shared_ptr<void> p; }; }
}
namespace http {
struct Request;
namespace authentication { struct Principal; }
namespace authorization {
using Callbacks = hashmap<String, std::function<Future<bool>(Request, Option<authentication::Principal>)>>;
void setCallbacks(const Callbacks&);
}
}
}

template <class T> class ProtobufProcess : public process::Process<T> {};
