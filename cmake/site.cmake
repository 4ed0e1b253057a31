# SPDX-License-Identifier: Apache-2.0
#
# Makes a build importable without pip: PYTHONPATH=<site> runs the working tree. Several build trees (sanitizers,
# compilers) coexist.

# fastcnn_site(<site> <target>...): <site>/fastcnn holds what these targets build beside links to the Python sources.
function(fastcnn_site folder)
  set(site "${folder}/fastcnn")
  file(MAKE_DIRECTORY "${site}")
  file(GLOB links "${site}/*") # of files that have moved, too
  foreach(link IN LISTS links)
    if(IS_SYMLINK "${link}" AND NOT EXISTS "${link}")
      file(REMOVE "${link}")
    endif()
  endforeach()
  file(GLOB package_entries CONFIGURE_DEPENDS LIST_DIRECTORIES true "${PROJECT_SOURCE_DIR}/python/fastcnn/*")
  foreach(entry IN LISTS package_entries)
    get_filename_component(name "${entry}" NAME)
    if(NOT name STREQUAL "__pycache__" AND NOT name MATCHES "\\.so$")
      file(CREATE_LINK "${entry}" "${site}/${name}" SYMBOLIC)
    endif()
  endforeach()
  foreach(target IN LISTS ARGN)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${site}")
    endif()
  endforeach()
endfunction()
