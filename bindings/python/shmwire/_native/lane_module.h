/* SPDX-License-Identifier: MIT
 *
 * The module of the lanes (lane.h), beside cffi's in one library.
 */
#ifndef SHMWPY_LANE_MODULE_H
#define SHMWPY_LANE_MODULE_H

#include "dmxp_lane.h"
#include "shmcomm_lane.h"

static struct PyModuleDef shmwpy_lane_module = {PyModuleDef_HEAD_INIT, "_ext_lane", NULL, -1, NULL, NULL, NULL, NULL, NULL};

static int shmwpy_add_lane(PyObject *module, const char *name, PyObject *type)
{
    const int rc = type != NULL ? PyModule_AddObjectRef(module, name, type) : -1;
    Py_XDECREF(type);
    return rc;
}

PyMODINIT_FUNC PyInit__ext_lane(void);

PyMODINIT_FUNC PyInit__ext_lane(void)
{
    PyObject *module = PyModule_Create(&shmwpy_lane_module);
    if (module != NULL && (shmwpy_add_lane(module, "DmxpLane", shmwpy_dmxp_lane_type()) < 0 ||
                           shmwpy_add_lane(module, "ShmcommLane", shmwpy_shmcomm_lane_type()) < 0))
        Py_CLEAR(module);
    return module;
}

#endif
