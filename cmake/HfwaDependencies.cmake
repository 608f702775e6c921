# Everything from outside, found once. LibTorch comes from the PyPI wheel that scripts/setup unpacks;
# all else from the distribution.

find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(nlohmann_json REQUIRED)
if(NOT HFWA_COMPUTE_ONLY)
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
  find_package(JPEG REQUIRED)
  find_package(PNG REQUIRED)
  find_package(CLI11 REQUIRED)
endif()
if(HFWA_CLIENT_ONLY)
  return()
endif()
find_package(ZLIB REQUIRED)
if(NOT HFWA_COMPUTE_ONLY)
  include(HfwaServingDependencies)
endif()

# LibTorch. find_package(Torch) asks for a CUDA toolkit or for files that the CPU set leaves out, so
# the two libraries are imported by hand. libtorch.so itself needs libtorch_cuda.so: never link it.
if(NOT EXISTS "${HFWA_LIBTORCH}/torch/lib/libtorch_cpu.so")
  message(FATAL_ERROR "HFWA_LIBTORCH='${HFWA_LIBTORCH}' holds no torch/lib/libtorch_cpu.so; "
                      "run scripts/setup, or build with scripts/build")
endif()
foreach(lib c10 torch_cpu)
  add_library(${lib} SHARED IMPORTED)
  set_target_properties(${lib} PROPERTIES
    IMPORTED_LOCATION "${HFWA_LIBTORCH}/torch/lib/lib${lib}.so")
endforeach()
target_include_directories(torch_cpu SYSTEM INTERFACE
  "${HFWA_LIBTORCH}/torch/include" "${HFWA_LIBTORCH}/torch/include/torch/csrc/api/include")
target_link_libraries(torch_cpu INTERFACE c10)

# at::parallel_for is a plain loop in files that are not compiled for OpenMP. The runtime is LibTorch's
# own: a second one would be a second set of threads. Not with clang, whose runtime is another one,
# nor with ThreadSanitizer, which does not see this one's barriers.
add_library(torch_openmp INTERFACE)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT HFWA_SANITIZE MATCHES thread)
  target_compile_options(torch_openmp INTERFACE -fopenmp)
  target_link_libraries(torch_openmp INTERFACE "${HFWA_LIBTORCH}/torch/lib/libgomp.so.1")
endif()
