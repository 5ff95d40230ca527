# SPDX-License-Identifier: MIT
# What `cmake --install` lays down: headers, both libraries, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS shmwire shmwire_static EXPORT shmwireTargets)
install(DIRECTORY ref-c/include/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")

set(shmw_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/shmwire")
install(EXPORT shmwireTargets NAMESPACE shmwire:: DESTINATION "${shmw_package_dir}")
configure_package_config_file(cmake/shmwireConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/shmwireConfig.cmake"
    INSTALL_DESTINATION "${shmw_package_dir}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/shmwireConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/shmwireConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/shmwireConfigVersion.cmake"
    DESTINATION "${shmw_package_dir}")

# GNUInstallDirs may be given as absolute paths; ${prefix} is only for relative ones.
foreach(kind INCLUDEDIR LIBDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
        set(SHMW_PC_${kind} "${CMAKE_INSTALL_${kind}}")
    else()
        set(SHMW_PC_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
    endif()
endforeach()
# Configured at install time, so that `cmake --install --prefix` counts.
install(CODE "
    set(SHMW_PC_INCLUDEDIR [==[${SHMW_PC_INCLUDEDIR}]==])
    set(SHMW_PC_LIBDIR [==[${SHMW_PC_LIBDIR}]==])
    set(PROJECT_DESCRIPTION [==[${PROJECT_DESCRIPTION}]==])
    set(PROJECT_VERSION [==[${PROJECT_VERSION}]==])
    configure_file([==[${CMAKE_CURRENT_SOURCE_DIR}/ref-c/shmwire.pc.in]==] [==[${CMAKE_CURRENT_BINARY_DIR}/shmwire.pc]==] @ONLY)")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/shmwire.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
