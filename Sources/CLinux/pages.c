// What a program has mapped of its own file and its libraries, and needs no longer.
#define _GNU_SOURCE
#include "CLinux.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

// Whether the dynamic linker has written into segments that are not writable now.
static bool has_text_relocations(const struct dl_phdr_info *object) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL) return true;
            if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
        }
    }
    return false;
}

static int release_object(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    (void)context;
    if (has_text_relocations(object)) return 0;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        // What was never written is as in the file. A segment that is writable, or was until it was relocated, stays.
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) continue;
        const uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
        const uintptr_t first = begin & ~(page - 1);
        const uintptr_t end = (begin + segment->p_memsz) & ~(page - 1);
        // The kernel refuses its own page (the vDSO); a failure costs memory only.
        if (end > first) (void)madvise((void *)first, end - first, MADV_DONTNEED);
    }
    return 0;
}

void clinux_release_file_pages(void) { dl_iterate_phdr(release_object, NULL); }
