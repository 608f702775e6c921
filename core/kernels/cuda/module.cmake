# libhfwa_cuda.so: CUDA kernels alone, on the CUDA runtime alone, loaded when a GPU is opened.
add_library(hfwa_cuda MODULE cuda/module.cu)
target_include_directories(hfwa_cuda PRIVATE "${PROJECT_SOURCE_DIR}")
# No contraction: one rounding an operation, as in the twin.
target_compile_options(hfwa_cuda PRIVATE --fmad=false -Xcompiler=-Wall,-Wextra,-fvisibility=hidden --Werror=all-warnings)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20
  target_compile_options(hfwa_cuda PRIVATE -std=c++20)
endif()
set_target_properties(hfwa_cuda PROPERTIES
  CUDA_STANDARD 20
  CUDA_STANDARD_REQUIRED OFF
  CUDA_ARCHITECTURES "80-real;90-real;100-real"
  CUDA_RUNTIME_LIBRARY Shared
  SKIP_BUILD_RPATH ON  # LibTorch has loaded the runtime
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
install(TARGETS hfwa_cuda LIBRARY DESTINATION lib)

# libhfwa_cuda_graph.so: its symbols of libtorch_cuda.so are found when it is loaded, after that one, so the CPU set
# of LibTorch is enough to build it.
add_library(hfwa_cuda_graph MODULE cuda/graph_module.cc)
target_include_directories(hfwa_cuda_graph PRIVATE "${PROJECT_SOURCE_DIR}")
target_include_directories(hfwa_cuda_graph SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(hfwa_cuda_graph PRIVATE torch_cpu hfwa_flags)
set_target_properties(hfwa_cuda_graph PROPERTIES
  SKIP_BUILD_RPATH ON
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
install(TARGETS hfwa_cuda_graph LIBRARY DESTINATION lib)
