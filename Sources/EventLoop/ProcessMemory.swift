internal import CLinux

/// What others may see of the process's memory, in which keys and passphrases are.
public enum ProcessMemory {
    /// From now on the kernel writes no core dump, and other processes of the same user can neither attach nor read the memory.
    ///
    /// /proc/self stays readable for the process itself; /proc/PID belongs to root.
    public static func protect() throws(SystemError) {
        let code = clinux_forbid_core_dumps()
        guard code == 0 else { throw SystemError(call: "prctl", subject: "PR_SET_DUMPABLE", errno: code) }
    }
}
