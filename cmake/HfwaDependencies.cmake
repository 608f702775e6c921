# Everything from outside, found once. LibTorch comes from the PyPI wheel that scripts/setup unpacks;
# all else from the distribution.

find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
if(HFWA_CLIENT_ONLY)
  return()
endif()
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(TIFF REQUIRED)
find_package(ZLIB REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# OpenCV. Its CMake package comes only with libopencv-dev, which brings GDAL and 250 packages more;
# two libraries are wanted.
find_path(OPENCV_INCLUDE opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
foreach(lib core imgproc)
  find_library(OPENCV_${lib} opencv_${lib} REQUIRED)
  add_library(opencv_${lib} SHARED IMPORTED)
  set_target_properties(opencv_${lib} PROPERTIES IMPORTED_LOCATION "${OPENCV_${lib}}")
  target_include_directories(opencv_${lib} SYSTEM INTERFACE "${OPENCV_INCLUDE}")
endforeach()
target_link_libraries(opencv_imgproc INTERFACE opencv_core)

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
