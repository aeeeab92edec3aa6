// A VFS that forwards everything to the default one and tells a hook about writes and syncs first.
#include "CSQLite.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    mesh_vfs_hook hook;
    void *context;
} TraceVFS;

typedef struct {
    sqlite3_file file;
    TraceVFS *owner;
    const char *path;
    sqlite3_file *real;
} TraceFile;

static TraceFile *traced(sqlite3_file *file) { return (TraceFile *)file; }
static sqlite3_file *real(sqlite3_file *file) { return ((TraceFile *)file)->real; }
static sqlite3_vfs *real_vfs(sqlite3_vfs *vfs) { return ((TraceVFS *)vfs)->real; }

static int tell(sqlite3_file *file, int operation, long long offset, int count) {
    TraceFile *own = traced(file);
    return own->owner->hook(own->owner->context, operation, own->path ? own->path : "", offset, count);
}

static int trace_close(sqlite3_file *file) {
    int code = real(file)->pMethods->xClose(real(file));
    free((void *)traced(file)->path);
    return code;
}
static int trace_read(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
    return real(file)->pMethods->xRead(real(file), bytes, count, offset);
}
static int trace_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    int code = tell(file, MESH_VFS_WRITE, offset, count);
    return code ? code : real(file)->pMethods->xWrite(real(file), bytes, count, offset);
}
static int trace_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int code = tell(file, MESH_VFS_TRUNCATE, size, 0);
    return code ? code : real(file)->pMethods->xTruncate(real(file), size);
}
static int trace_sync(sqlite3_file *file, int flags) {
    int code = tell(file, MESH_VFS_SYNC, 0, 0);
    return code ? code : real(file)->pMethods->xSync(real(file), flags);
}
static int trace_size(sqlite3_file *file, sqlite3_int64 *size) {
    return real(file)->pMethods->xFileSize(real(file), size);
}
static int trace_lock(sqlite3_file *file, int level) { return real(file)->pMethods->xLock(real(file), level); }
static int trace_unlock(sqlite3_file *file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
static int trace_reserved(sqlite3_file *file, int *result) {
    return real(file)->pMethods->xCheckReservedLock(real(file), result);
}
static int trace_control(sqlite3_file *file, int operation, void *argument) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
static int trace_sector(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }
static int trace_characteristics(sqlite3_file *file) {
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}
static int trace_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **address) {
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, address);
}
static int trace_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}
static void trace_shm_barrier(sqlite3_file *file) { real(file)->pMethods->xShmBarrier(real(file)); }
static int trace_shm_unmap(sqlite3_file *file, int remove) {
    return real(file)->pMethods->xShmUnmap(real(file), remove);
}

// Version 2: without xFetch every read goes through xRead, which is all the same to a test.
static const sqlite3_io_methods trace_methods = {
    2,
    trace_close,
    trace_read,
    trace_write,
    trace_truncate,
    trace_sync,
    trace_size,
    trace_lock,
    trace_unlock,
    trace_reserved,
    trace_control,
    trace_sector,
    trace_characteristics,
    trace_shm_map,
    trace_shm_lock,
    trace_shm_barrier,
    trace_shm_unmap,
    0,
    0,
};

static int trace_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *outFlags) {
    TraceVFS *own = (TraceVFS *)vfs;
    TraceFile *result = traced(file);
    memset(result, 0, sizeof *result);
    result->owner = own;
    result->real = (sqlite3_file *)(result + 1);
    int code = own->hook(own->context, MESH_VFS_OPEN, path ? path : "", 0, 0);
    if (code == SQLITE_OK) code = own->real->xOpen(own->real, path, result->real, flags, outFlags);
    if (code == SQLITE_OK) {
        result->path = path ? strdup(path) : 0;
        file->pMethods = &trace_methods;
    } else if (result->real->pMethods) {
        result->real->pMethods->xClose(result->real);
    }
    return code;
}
static int trace_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    return real_vfs(vfs)->xDelete(real_vfs(vfs), path, sync);
}
static int trace_access(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
    return real_vfs(vfs)->xAccess(real_vfs(vfs), path, flags, result);
}
static int trace_full_path(sqlite3_vfs *vfs, const char *path, int size, char *result) {
    return real_vfs(vfs)->xFullPathname(real_vfs(vfs), path, size, result);
}
static int trace_randomness(sqlite3_vfs *vfs, int count, char *bytes) {
    return real_vfs(vfs)->xRandomness(real_vfs(vfs), count, bytes);
}
static int trace_sleep(sqlite3_vfs *vfs, int microseconds) {
    return real_vfs(vfs)->xSleep(real_vfs(vfs), microseconds);
}
static int trace_time(sqlite3_vfs *vfs, double *time) { return real_vfs(vfs)->xCurrentTime(real_vfs(vfs), time); }
static int trace_last_error(sqlite3_vfs *vfs, int count, char *text) {
    return real_vfs(vfs)->xGetLastError(real_vfs(vfs), count, text);
}
static int trace_time64(sqlite3_vfs *vfs, sqlite3_int64 *time) {
    return real_vfs(vfs)->xCurrentTimeInt64(real_vfs(vfs), time);
}

int mesh_vfs_register(const char *name, mesh_vfs_hook hook, void *context) {
    sqlite3_vfs *base = sqlite3_vfs_find(0);
    TraceVFS *own = base ? calloc(1, sizeof *own) : 0;
    if (!own) return SQLITE_NOMEM;
    own->real = base;
    own->hook = hook;
    own->context = context;
    own->vfs.iVersion = 2;
    own->vfs.szOsFile = (int)sizeof(TraceFile) + base->szOsFile;
    own->vfs.mxPathname = base->mxPathname;
    own->vfs.zName = strdup(name);
    own->vfs.xOpen = trace_open;
    own->vfs.xDelete = trace_delete;
    own->vfs.xAccess = trace_access;
    own->vfs.xFullPathname = trace_full_path;
    own->vfs.xRandomness = trace_randomness;
    own->vfs.xSleep = trace_sleep;
    own->vfs.xCurrentTime = trace_time;
    own->vfs.xGetLastError = trace_last_error;
    own->vfs.xCurrentTimeInt64 = trace_time64;
    return sqlite3_vfs_register(&own->vfs, 0);
}

void mesh_vfs_unregister(const char *name) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(name);
    if (!vfs || vfs->xOpen != trace_open) return;
    sqlite3_vfs_unregister(vfs);
    free((void *)vfs->zName);
    free(vfs);
}
