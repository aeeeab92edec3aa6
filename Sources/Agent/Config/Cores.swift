private import Glibc

/// The processors of this machine.
enum Cores {
    /// How many this process may use (its affinity, as containers and `taskset` set it), at least one.
    static var usable: Int {
        guard let status = try? SmallFile.read("/proc/self/status", limit: 1 << 20),
            let line = status.split(separator: UInt8(ascii: "\n")).first(where: {
                $0.starts(with: "Cpus_allowed:".utf8)
            })
        else { return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
        // A mask in hexadecimal: Cpus_allowed:	00000000,00000003
        let mask = line.drop { $0 != UInt8(ascii: ":") }
        return max(1, mask.reduce(0) { $0 + (Character(Unicode.Scalar($1)).hexDigitValue?.nonzeroBitCount ?? 0) })
    }
}
