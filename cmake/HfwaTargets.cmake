# Flags and functions that every target of ours shares.

add_library(hfwa_flags INTERFACE)
target_include_directories(hfwa_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(hfwa_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
  # One rounding per operation: parity with Pillow and with the weight recipe is exact.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC bug 105651: "x" + std::to_string(n) warns about an impossible overlap.
  target_compile_options(hfwa_flags INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(hfwa_flags INTERFACE -Wthread-safety)
endif()
if(HFWA_SANITIZE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC's own manual: sanitizers make this warning see paths that are not there.
    target_compile_options(hfwa_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
  add_compile_options(-fsanitize=${HFWA_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${HFWA_SANITIZE})
  if(HFWA_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# hfwa_library(NAME SOURCES a.cc ... DEPS lib ...): a static library of one room.
function(hfwa_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE hfwa_flags)
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
endfunction()

# hfwa_program(NAME SOURCES main.cc ... DEPS lib ...): lands in build/PRESET/bin.
function(hfwa_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} hfwa_flags)
endfunction()

# hfwa_test(NAME SOURCES a_test.cc ... DEPS lib ... [LABELS unit] [TIMEOUT seconds]): one GoogleTest
# program, run as one ctest entry (a start that loads LibTorch costs 0.35 s, so not one per case).
function(hfwa_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(HFWA_SANITIZE MATCHES thread)
    list(APPEND ARG_SOURCES "${PROJECT_SOURCE_DIR}/tests/tsan/absl_mutex.cc")
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(HFWA_SANITIZE MATCHES thread)
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)  # the libraries see these definitions first
    target_link_libraries(${name} PRIVATE ${CMAKE_DL_LIBS})
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main hfwa_flags)
  target_compile_definitions(${name} PRIVATE HFWA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
