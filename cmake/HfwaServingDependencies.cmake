# What pictures, the store and the server need beyond the arithmetic.

find_package(prometheus-cpp CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(TIFF REQUIRED)
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
