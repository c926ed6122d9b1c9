// A loop shared between the calling thread and XLA's pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace bitnet {

// One loop over [0, count), shared out in equal ranges. A thread takes pieces from the front of its own, so that it
// streams one run of memory; one that is through takes pieces from the backs of the others'. A piece is half of what is
// left: an atomic operation stalls the loads behind it, and one a block would cost a tenth of a product with one row.
class Loop {
 public:
  template <typename Work>
  Loop(int64_t count, int64_t grain, int64_t threads, const Work& work)
      : grain_(grain), left_(count), ranges_(threads), work_(&work),
        call_([](const void* erased, int64_t begin, int64_t end) { (*static_cast<const Work*>(erased))(begin, end); }) {
    for (int64_t i = 0; i < threads; ++i)
      ranges_[i].ends.store(packed(count * i / threads, count * (i + 1) / threads), std::memory_order_relaxed);
  }

  // Works until nothing is left to take. Touches `work` only for what it has taken, which the caller waits for.
  void take() {
    const size_t own = joined_.fetch_add(1, std::memory_order_relaxed);
    int64_t taken = 0;
    for (size_t i = 0; i < ranges_.size(); ++i) taken += drain(ranges_[(own + i) % ranges_.size()].ends, i == 0);
    left_.fetch_sub(taken, std::memory_order_release);
  }

  bool done() const { return left_.load(std::memory_order_acquire) == 0; }

 private:
  static constexpr int64_t kPart = 2;

  // Both ends in one word, so that one exchange takes a piece; on a cache line of its own, which few threads write.
  struct alignas(64) Range {
    std::atomic<uint64_t> ends{0};
  };

  static uint64_t packed(int64_t begin, int64_t end) { return static_cast<uint64_t>(begin) << 32 | end; }

  int64_t drain(std::atomic<uint64_t>& ends, bool from_front) {
    int64_t taken = 0;
    for (uint64_t seen = ends.load(std::memory_order_relaxed);;) {
      const int64_t begin = seen >> 32, end = seen & 0xffffffff;
      const int64_t size = std::min(end - begin, std::max(grain_, (end - begin) / kPart));
      if (size <= 0) return taken;
      const uint64_t rest = from_front ? packed(begin + size, end) : packed(begin, end - size);
      if (!ends.compare_exchange_weak(seen, rest, std::memory_order_relaxed)) continue;
      const int64_t first = from_front ? begin : end - size;
      call_(work_, first, first + size);
      taken += size;
      seen = ends.load(std::memory_order_relaxed);
    }
  }

  const int64_t grain_;
  alignas(64) std::atomic<int64_t> left_;
  std::atomic<size_t> joined_{0};
  std::vector<Range> ranges_;
  const void* const work_;
  void (*const call_)(const void*, int64_t, int64_t);
};

// Threads of the pool that have helped with one loop and look out, awake, for the next. Waking one that sleeps takes
// as long as a product with one row.
class Crew {
 public:
  static Crew& instance() {
    static Crew crew;
    return crew;
  }

  // Shows the loop to the helpers that are awake; returns how many.
  int64_t post(const std::shared_ptr<Loop>& loop) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_ == 0) return 0;
    loop_ = loop;
    posted_.fetch_add(1, std::memory_order_release);
    return std::exchange(waiting_, 0);
  }

  // Helps with `loop`, then with whatever is posted until nothing has been for a while; at most `most` stay awake.
  void help(std::shared_ptr<Loop> loop, int64_t most) {
    while (loop != nullptr) {
      loop->take();
      loop = next(most);
    }
  }

 private:
  static constexpr std::chrono::microseconds kAwake{50};

  std::shared_ptr<Loop> next(int64_t most) {
    uint64_t seen;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (waiting_ >= most) return nullptr;
      ++waiting_;
      seen = posted_.load(std::memory_order_relaxed);
    }
    const auto until = std::chrono::steady_clock::now() + kAwake;
    while (posted_.load(std::memory_order_acquire) == seen) {
      if (std::chrono::steady_clock::now() < until) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      if (posted_.load(std::memory_order_relaxed) != seen) break;
      --waiting_;
      return nullptr;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    return loop_;
  }

  std::mutex mutex_;
  std::shared_ptr<Loop> loop_;
  int64_t waiting_ = 0;
  std::atomic<uint64_t> posted_{0};
};

// Calls work(begin, end) over [0, count) in pieces of at least `grain`, and returns when all are done.
//
// The caller takes pieces like everybody else and waits only for those that another thread has taken: it may itself be
// a thread of the pool, and helpers that never get to start must not be waited for. One that starts after the last
// piece is taken touches nothing but the loop, which it keeps alive; `work` is gone by then.
template <typename Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t count, int64_t grain, const Work& work) {
  const int64_t threads = std::min(pool.num_threads(), (count + grain - 1) / grain);
  if (threads < 2) {
    if (count > 0) work(int64_t{0}, count);
    return;
  }
  Crew& crew = Crew::instance();
  const auto loop = std::make_shared<Loop>(count, grain, threads, work);
  for (int64_t helpers = crew.post(loop); helpers < threads - 1; ++helpers)
    pool.Schedule([&crew, loop, threads] { crew.help(loop, threads - 1); });
  loop->take();
  // A piece takes microseconds: waiting awake is shorter than going to sleep, unless its thread has lost its core.
  for (int spins = 0; !loop->done(); ++spins)
    if (spins > 1000) std::this_thread::yield();
}

}  // namespace bitnet
