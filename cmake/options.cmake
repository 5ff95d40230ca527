# SPDX-License-Identifier: MIT
# How every C target of the project is compiled. Sub-projects link shmw_options (PRIVATE).

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(shmw_options INTERFACE)
target_compile_definitions(shmw_options INTERFACE _GNU_SOURCE)
target_compile_options(shmw_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Werror)
if(SHMW_SANITIZE)
    target_compile_options(shmw_options INTERFACE -fsanitize=${SHMW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(shmw_options INTERFACE -fsanitize=${SHMW_SANITIZE})
endif()
