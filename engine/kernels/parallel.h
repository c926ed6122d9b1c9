// A loop shared between the calling thread and XLA's pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace bitnet {

// Calls work(begin, end) over [0, count) in pieces of `grain`, and returns when all are done.
//
// The caller takes pieces like everybody else and waits only for those that another thread has taken: it may itself be
// a thread of the pool, and helpers that never get to start must not be waited for. One that starts after the last
// piece is taken touches nothing but the shared state, which it keeps alive; `work` is gone by then.
template <typename Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t count, int64_t grain, const Work& work) {
  const int64_t pieces = (count + grain - 1) / grain;
  const int64_t helpers = std::min(pool.num_threads(), pieces) - 1;
  if (helpers < 1) {
    if (count > 0) work(int64_t{0}, count);
    return;
  }
  struct State {
    std::atomic<int64_t> taken{0}, done{0};
  };
  const auto state = std::make_shared<State>();
  const auto take = [state, pieces, count, grain, &work] {
    for (int64_t piece; (piece = state->taken.fetch_add(1, std::memory_order_relaxed)) < pieces;) {
      work(piece * grain, std::min(count, (piece + 1) * grain));
      state->done.fetch_add(1, std::memory_order_release);
    }
  };
  for (int64_t helper = 0; helper < helpers; ++helper) {
    auto copy = take;
    pool.Schedule(std::move(copy));
  }
  take();
  // A piece takes microseconds: waiting awake is shorter than going to sleep, unless its thread has lost its core.
  for (int spins = 0; state->done.load(std::memory_order_acquire) < pieces; ++spins)
    if (spins > 1000) std::this_thread::yield();
}

}  // namespace bitnet
