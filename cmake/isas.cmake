# SPDX-License-Identifier: Apache-2.0
#
# The one table of instruction sets. Each row becomes an OBJECT library of the same sources with
# FASTCNN_ISA_NS=<name>, and FASTCNN_HAVE_<NAME> for the files that are compiled once. To add an ISA: a row here, its
# vocabulary in csrc/cpu/kernels/vec.h, and its row in csrc/cpu/isas.inc.
#
# name | processors it is built for | flags | files. The baseline is for processors of 2012 and before: small. A row
# that names a file is compiled of it alone, and no other row of it: it adds these kernels to those of another row.
set(x86_64 "^(x86_64|AMD64|amd64)$")
set(FASTCNN_ISAS
    "baseline|.*|$<$<NOT:$<CONFIG:Debug>>:-Os>|"
    "avx2|${x86_64}|-mavx2 -mfma|"
    "avx512|${x86_64}|-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mprefer-vector-width=512|"
    "avx512_bf16|${x86_64}|-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx2 -mfma -mprefer-vector-width=512|bfloat16"
    "amx_bf16|${x86_64}|-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mamx-tile -mamx-bf16 -mavx2 -mfma -mprefer-vector-width=512|bfloat16"
    "neon|^(aarch64|arm64|ARM64)$||")

# For tests on a processor without AVX-512: these rows, their intrinsics written out for AVX2, in a module of their own
# (the target emulated_avx512). -Og leaves loops as they stand: with -O1 the kernels took six times as long to compile.
set(emulated "-Og -mavx2 -mfma -Wno-psabi -include ${PROJECT_SOURCE_DIR}/tests/emulation/avx512.h")
set(FASTCNN_EMULATED_ISAS "avx512|${x86_64}|${emulated}|" "avx512_bf16|${x86_64}|${emulated}|bfloat16"
    "amx_bf16|${x86_64}|${emulated} -D__AMX_BF16__=1|bfloat16")

# While a kernel is being written: builds in a third of the time. Releases and CI build every row.
set(FASTCNN_ONLY "" CACHE STRING "Build only these rows, by name and separated by semicolons; all if empty")
if(FASTCNN_ONLY)
  string(REPLACE ";" "|" only "${FASTCNN_ONLY}")
  list(FILTER FASTCNN_ISAS INCLUDE REGEX "^(${only})\\|")
endif()

# What keeps one ISA's code out of another's: no exceptions or RTTI (shared weak symbols), no LTO (it would merge
# functions across rows), and -march put back to the architecture's base should CXXFLAGS have raised it. Nor does anything
# unwind through them.
# GCC's own AVX-512 header reads the variables that it leaves undefined on purpose: hence the one warning turned off.
set(FASTCNN_ISA_COMMON_FLAGS -fno-exceptions -fno-rtti -fno-lto -fno-openmp -fno-asynchronous-unwind-tables
    $<$<NOT:$<CONFIG:Debug>>:-O3>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "${x86_64}")
  list(APPEND FASTCNN_ISA_COMMON_FLAGS -march=x86-64)
endif()

set(for_speed "$<AND:$<NOT:$<CONFIG:Debug>>,$<BOOL:$<TARGET_PROPERTY:FASTCNN_FOR_SPEED>>>")

# Their loops are unrolled by hand: -O2 makes them a sixth smaller, and spills nothing either. (Pools and norms of rows and
# channels would be a third smaller, but took 1.1 times as long in the mean and up to twice.)
foreach(kernel bfloat16 class_loss lp_pool2d tile)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/csrc/cpu/kernels/${kernel}.cpp" PROPERTIES COMPILE_OPTIONS
                              "$<${for_speed}:-O2>")
endforeach()

# Formulas of long chains of arithmetic: GCC puts instructions of several vectors side by side before it hands out registers,
# which it does not by itself on x86 (GELU and softplus took a fifth longer). With -O2 their object is a quarter smaller and
# as fast.
set_source_files_properties("${PROJECT_SOURCE_DIR}/csrc/cpu/kernels/activation.cpp" PROPERTIES COMPILE_OPTIONS
                            "$<$<CXX_COMPILER_ID:GNU>:-fschedule-insns;-fsched-pressure>;$<${for_speed}:-O2>")

# Loops whose vectors are written out gain nothing from most of what GCC's -O3 adds to -O2: a version of a loop for each
# outcome of a condition, its first turns apart, copies of functions for one argument. Without them these objects are an
# eighth smaller and as fast, weight gradients of depthwise at 0.8 to 1 of the time. (Norms took 1.1 times as long without
# versions, pools with AVX2 1.05 times; depthwise, pools, resizing and optimizers 1.1 to 1.3 times without the rest.
# Where arrays lie, at a line or 16 bytes after one, alone makes up to 1.4 times: only builds in turn tell.)
set(unversioned -fno-unswitch-loops)
set(uncopied ${unversioned} -fno-peel-loops -fno-split-loops -fno-ipa-cp-clone -fno-tree-partial-pre -fno-gcse-after-reload
    -fno-tree-loop-distribution -fno-version-loops-for-strides)
foreach(kernel binary lanes lanes_pool loss pooled)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/csrc/cpu/kernels/${kernel}.cpp" PROPERTIES COMPILE_OPTIONS
                              "$<$<CXX_COMPILER_ID:GNU>:$<${for_speed}:${uncopied}>>")
endforeach()
foreach(kernel depthwise_wgrad pool2d_bwd)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/csrc/cpu/kernels/${kernel}.cpp" PROPERTIES COMPILE_OPTIONS
                              "$<$<CXX_COMPILER_ID:GNU>:$<${for_speed}:${unversioned}>>")
endforeach()

# fastcnn_add_isa_libraries(<prefix of targets> ISAS <rows> SOURCES <files> LIBRARIES <out: targets>
#                           DEFINITIONS <out: FASTCNN_HAVE_...>)
function(fastcnn_add_isa_libraries prefix)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LIBRARIES;DEFINITIONS" "ISAS;SOURCES")
  set(libraries "")
  set(definitions "")
  foreach(row IN LISTS arg_ISAS)
    string(REGEX MATCH "^([a-z0-9_]+)\\|(.*)\\|([^|]*)\\|([^|]*)$" _ "${row}")
    set(name "${CMAKE_MATCH_1}")
    set(processors "${CMAKE_MATCH_2}")
    separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_3}")
    set(sources ${arg_SOURCES})
    if(CMAKE_MATCH_4)
      list(FILTER sources INCLUDE REGEX "/${CMAKE_MATCH_4}\\.cpp$")
    else()
      list(FILTER sources EXCLUDE REGEX "/bfloat16\\.cpp$")
    endif()
    if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "${processors}")
      continue()
    endif()
    string(TOUPPER "${name}" upper)
    set(library ${prefix}_${name})
    add_library(${library} OBJECT ${sources})
    target_link_libraries(${library} PRIVATE fastcnn_flags)
    target_compile_definitions(${library} PRIVATE FASTCNN_ISA_NS=${name})
    target_compile_options(${library} PRIVATE ${FASTCNN_ISA_COMMON_FLAGS} ${flags})
    if(NOT flags MATCHES "-O")  # of its own: for size, or for a quick build
      set_target_properties(${library} PROPERTIES FASTCNN_FOR_SPEED ON)
    endif()
    list(APPEND libraries ${library})
    list(APPEND definitions FASTCNN_HAVE_${upper}=1)
  endforeach()
  set(${arg_LIBRARIES} "${libraries}" PARENT_SCOPE)
  set(${arg_DEFINITIONS} "${definitions}" PARENT_SCOPE)
endfunction()
