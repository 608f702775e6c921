# What `cmake --install` puts where; the images and packages are made of it. LibTorch keeps the wheel's layout
# (torch/lib beside nvidia/*/lib), because its libraries find each other by it.
set(targets)
foreach(target hfwa-server hfwa hfwa-train hfwa-eval)
  if(TARGET ${target})
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/torch/lib")
    list(APPEND targets ${target})
  endif()
endforeach()
if(targets)
  install(TARGETS ${targets} RUNTIME DESTINATION bin)
endif()
foreach(part torch/lib nvidia)
  get_filename_component(parent "lib/${part}" DIRECTORY)
  install(DIRECTORY "${HFWA_LIBTORCH}/${part}" DESTINATION "${parent}" FILES_MATCHING
    PATTERN "*.so" PATTERN "*.so.*" PATTERN "libtorch_python.so" EXCLUDE PATTERN "include" EXCLUDE)
endforeach()
file(GLOB notices "${HFWA_LIBTORCH}/*.dist-info")
install(DIRECTORY ${notices} DESTINATION share/doc/hfwa/licenses FILES_MATCHING PATTERN "LICENSE*" PATTERN "NOTICE*"
  PATTERN "[Ll]icense*")
install(FILES LICENSE DESTINATION share/doc/hfwa)
if(EXISTS "${CMAKE_SOURCE_DIR}/models/default")
  install(DIRECTORY models/default DESTINATION share/hfwa/models)
endif()
