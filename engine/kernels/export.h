// What the shared library shows: C functions for ctypes, and XLA's handlers.
#pragma once

#define BITNET_EXPORT __attribute__((visibility("default")))
