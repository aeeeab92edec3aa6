internal import CAcceleration

/// AES-GCM from libipsec-mb in place of OpenSSL's own: some four times the speed on full records where the CPU has VAES
/// and AVX-512. Loaded at run time, once in a process, when the first context asks for it; contexts that do not ask, and
/// everything but AES-GCM, keep OpenSSL's implementations (docs/adr/0006-aes-gcm-provider.md).
public enum TLSAcceleration: Sendable, Hashable, CustomStringConvertible {
    /// In use by every context that asks for it; with the library's version.
    case active(version: String)
    /// Not to be had.
    case unavailable(Obstacle)

    /// Why there is no acceleration.
    public enum Obstacle: String, Sendable, CaseIterable {
        /// The program was built without the library's header (Debian: libipsec-mb-dev).
        case notBuilt = "not_built"
        /// The library is not installed (Debian: libipsec-mb1).
        case noLibrary = "no_library"
        /// The library is of another version than the header that the program was built with.
        case otherVersion = "other_version"
        /// The CPU lacks VAES, VPCLMULQDQ or AVX-512.
        case noCPU = "no_cpu"
        /// Its answer to a known message differed from OpenSSL's.
        case selfTestFailed = "self_test_failed"
        /// OpenSSL did not accept the provider.
        case refused
    }

    /// Loads it, or tells what an earlier call found. Takes some 2 ms the first time.
    public static func load() -> TLSAcceleration {
        let status = caccel_load()
        if status == CACCEL_LOADED, let version = caccel_version() {
            return .active(version: String(cString: version))
        }
        return switch status {
        case CACCEL_NOT_BUILT: .unavailable(.notBuilt)
        case CACCEL_OTHER_VERSION: .unavailable(.otherVersion)
        case CACCEL_NO_CPU: .unavailable(.noCPU)
        case CACCEL_SELF_TEST_FAILED: .unavailable(.selfTestFailed)
        case CACCEL_REFUSED: .unavailable(.refused)
        default: .unavailable(.noLibrary)
        }
    }

    /// Whether contexts that ask for it have it.
    public var isActive: Bool { if case .active = self { true } else { false } }

    /// A stable word for metrics and JSON: `libipsec-mb`, or the obstacle.
    public var code: String {
        switch self {
        case .active: "libipsec-mb"
        case .unavailable(let obstacle): obstacle.rawValue
        }
    }

    /// For people.
    public var description: String {
        switch self {
        case .active(let version): "AES-GCM by libipsec-mb \(version)"
        case .unavailable(.notBuilt): "AES-GCM by OpenSSL (built without libipsec-mb-dev)"
        case .unavailable(.noLibrary): "AES-GCM by OpenSSL (libipsec-mb1 is not installed)"
        case .unavailable(.otherVersion): "AES-GCM by OpenSSL (libipsec-mb is of another version than at build time)"
        case .unavailable(.noCPU): "AES-GCM by OpenSSL (the CPU lacks VAES or AVX-512)"
        case .unavailable(.selfTestFailed): "AES-GCM by OpenSSL (libipsec-mb failed its self-test)"
        case .unavailable(.refused): "AES-GCM by OpenSSL (OpenSSL refused the provider)"
        }
    }

    /// OpenSSL's property query for contexts that want it.
    var properties: String? { isActive ? CACCEL_PROPERTIES : nil }
}
