# SPDX-License-Identifier: Apache-2.0
#
# Makes the build tree importable without pip: <build>/site/fastcnn holds the extension beside links to the Python
# sources, so PYTHONPATH=<build>/site runs the working tree. Several build trees (sanitizers, compilers) coexist.
set(site "${PROJECT_BINARY_DIR}/site/fastcnn")
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
if(TARGET _cuda)
  set_target_properties(_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${site}")
endif()
set_target_properties(_native PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${site}")
