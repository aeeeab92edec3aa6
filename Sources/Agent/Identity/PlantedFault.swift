#if MESH_FAULTS
    import Glibc
    import JSON
    import PKI

    /// A check of peers' certificates that is left out on purpose, so that a test can show that mtls-tester finds it. In
    /// debug builds only.
    enum PlantedFault {
        /// The variable with the names of the checks (`StrictChecks.named`), divided by commas.
        static let variable = "MESH_FAULT_SKIP_CHECK"

        private static var names: [String] {
            getenv(variable).map { String(cString: $0).split(separator: ",").map(String.init) } ?? []
        }

        /// The checks that are left.
        static var checks: StrictChecks {
            StrictChecks.named.reduce(.all) { names.contains($1.name) ? $0.subtracting($1.check) : $0 }
        }

        /// Says so in the log, as loudly as it can.
        static func warn(_ log: Log) {
            for name in names {
                let isKnown = StrictChecks.named.contains { $0.name == name }
                log.error(
                    "planted_fault",
                    isKnown
                        ? "THIS NODE IS NOT SAFE: a check of certificates is switched off for a test"
                        : "there is no check of that name; nothing is switched off",
                    [("check", .string(name)), ("variable", .string(variable))])
            }
        }
    }
#endif
