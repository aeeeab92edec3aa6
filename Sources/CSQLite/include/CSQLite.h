// SQLite for Swift: the library's header, what its macros hide, and a tracing VFS for tests.
#ifndef MESH_CSQLITE_H
#define MESH_CSQLITE_H

#include <sqlite3.h>

// Binds bytes that SQLite copies (SQLITE_TRANSIENT is a cast that Swift can't import).
int mesh_sqlite_bind_text(sqlite3_stmt *statement, int index, const char *bytes, int count);
int mesh_sqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, int count);

// Settings that sqlite3_db_config takes as variadic arguments.
int mesh_sqlite_set_defensive(sqlite3 *database);

// What a traced file is asked to do.
enum {
    MESH_VFS_OPEN = 1,
    MESH_VFS_WRITE = 2,
    MESH_VFS_SYNC = 3,
    MESH_VFS_TRUNCATE = 4,
};

// Called before a file operation. Returns SQLITE_OK to go on or the code with which the operation is to fail.
typedef int (*mesh_vfs_hook)(void *context, int operation, const char *path, long long offset, int count);

// Registers a VFS that forwards to the default one and calls the hook first. Not for production: tests see with it
// what is synced when, and make disks fail. The context must live until mesh_vfs_unregister. Not thread-safe.
int mesh_vfs_register(const char *name, mesh_vfs_hook hook, void *context);
void mesh_vfs_unregister(const char *name);

#endif
