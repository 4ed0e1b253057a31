# SPDX-License-Identifier: Apache-2.0
#
# fastcnn/_cuda.so: the kernels of csrc/cuda behind one exported function, loaded with the first array that lies in a
# GPU's memory. It holds CUDA's run-time library and needs nothing of NVIDIA's but the driver.
set(FASTCNN_CUDA AUTO CACHE STRING "GPU kernels: ON for all supported GPUs, OFF, or AUTO for the GPU of this machine")
set_property(CACHE FASTCNN_CUDA PROPERTY STRINGS AUTO ON OFF)
set(FASTCNN_CUDA_ARCHITECTURES "" CACHE STRING "Build the GPU kernels for these alone, as CMAKE_CUDA_ARCHITECTURES")
# For tests where there is no GPU: the same sources compiled by the C++ compiler on tests/emulation/cuda.
option(FASTCNN_EMULATE_CUDA "Build the GPU kernels for the processor, as tests/emulation/cuda emulates a GPU" OFF)

file(GLOB cuda_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/csrc/cuda/*.cu" "${PROJECT_SOURCE_DIR}/csrc/cuda/*/*.cu")

if(FASTCNN_EMULATE_CUDA)
  set(emulation "${PROJECT_SOURCE_DIR}/tests/emulation/cuda")
  set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++;-O1")
  file(GLOB emulation_sources CONFIGURE_DEPENDS "${emulation}/*.cpp")
  add_library(_cuda MODULE ${cuda_sources} ${emulation_sources})
  target_include_directories(_cuda BEFORE PRIVATE "${emulation}")
  target_compile_definitions(_cuda PRIVATE FASTCNN_EMULATE_CUDA)
  target_link_libraries(_cuda PRIVATE fastcnn_flags)
  set_target_properties(_cuda PROPERTIES PREFIX "")
  return()
endif()

# AUTO asks the driver, not the compiler: a machine without a GPU has no use for the kernels. GPUs that the release
# has no code for compile the PTX of 8.0, from CUDA's release that builds it on.
set(wanted ${FASTCNN_CUDA})
set(architectures "75-real;80-real;90a-real;80-virtual")
if(FASTCNN_CUDA STREQUAL "AUTO")
  set(wanted OFF)
  find_program(nvidia_smi nvidia-smi)
  if(nvidia_smi)
    execute_process(COMMAND "${nvidia_smi}" --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE capabilities ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REGEX MATCH "^([0-9]+)\\.([0-9])" _ "${capabilities}")
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_MATCH_1 AND CMAKE_CUDA_COMPILER)
      set(wanted ON)
      set(architectures "${CMAKE_MATCH_1}${CMAKE_MATCH_2}-real")
      string(REPLACE "90-" "90a-" architectures "${architectures}")
    endif()
  endif()
endif()
if(NOT wanted)
  message(STATUS "GPU kernels: not built")
  return()
endif()

if(FASTCNN_CUDA_ARCHITECTURES)
  set(architectures "${FASTCNN_CUDA_ARCHITECTURES}")
endif()
set(CMAKE_CUDA_ARCHITECTURES "${architectures}")
enable_language(CUDA)
message(STATUS "GPU kernels: ${architectures}, CUDA ${CMAKE_CUDA_COMPILER_VERSION}")

# No contraction: a fused multiply-add is written as fma(), as on the CPU, so that formulas have the same bits.
add_library(_cuda MODULE ${cuda_sources})
target_include_directories(_cuda PRIVATE "${PROJECT_SOURCE_DIR}/csrc")
# Kernels of 9.0 alone are compiled for it whatever is asked for: elsewhere they are empty, and nothing would be checked.
if(NOT "90a-real" IN_LIST architectures)
  set(of_90a ${cuda_sources})
  list(FILTER of_90a INCLUDE REGEX "_sm90\\.cu$")
  set_source_files_properties(${of_90a} PROPERTIES COMPILE_OPTIONS "-gencode=arch=compute_90a,code=sm_90a")
endif()
target_compile_options(_cuda PRIVATE --extended-lambda -fmad=false -Xcompiler=-Wall,-Wextra,-Wformat-security,-Wno-unused-function --Werror=all-warnings)
set_target_properties(_cuda PROPERTIES
  PREFIX "" CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
  POSITION_INDEPENDENT_CODE ON)
target_link_options(_cuda PRIVATE -Wl,--exclude-libs,ALL)
install(TARGETS _cuda LIBRARY DESTINATION fastcnn)
