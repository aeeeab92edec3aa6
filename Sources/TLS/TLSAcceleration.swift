internal import CAcceleration

/// A faster AES-GCM in place of OpenSSL's own: libipsec-mb's where the CPU has VAES and AVX-512 (four times the speed on
/// full records), otherwise our own where it has VAES (twice the speed). Loaded at run time, once in a process, when the
/// first context asks for it; contexts that do not ask, and everything but AES-GCM, keep OpenSSL's implementations
/// (docs/adr/0006-aes-gcm-provider.md, docs/adr/0007-aes-gcm-of-our-own.md).
public enum TLSAcceleration: Sendable, Hashable, CustomStringConvertible {
    /// In use by every context that asks for it: `libipsec-mb` and its version, or `built-in` and what it uses.
    case active(name: String, version: String)
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
        /// The CPU lacks VAES or VPCLMULQDQ.
        case noCPU = "no_cpu"
        /// Its answer to a known message differed from OpenSSL's.
        case selfTestFailed = "self_test_failed"
        /// OpenSSL did not accept the provider.
        case refused
    }

    /// Loads it, or tells what an earlier call found. Takes some 2 ms the first time.
    public static func load() -> TLSAcceleration {
        let status = caccel_load()
        if status == CACCEL_LOADED, let name = caccel_name(), let version = caccel_version() {
            return .active(name: String(cString: name), version: String(cString: version))
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

    /// A stable word for metrics and JSON: `libipsec-mb`, `built-in`, or the obstacle.
    public var code: String {
        switch self {
        case .active(let name, _): name
        case .unavailable(let obstacle): obstacle.rawValue
        }
    }

    /// For people.
    public var description: String {
        switch self {
        case .active("built-in", let version): "AES-GCM built in (\(version))"
        case .active(let name, let version): "AES-GCM by \(name) \(version)"
        case .unavailable(.notBuilt): "AES-GCM by OpenSSL (built without libipsec-mb-dev)"
        case .unavailable(.noLibrary): "AES-GCM by OpenSSL (libipsec-mb1 is not installed)"
        case .unavailable(.otherVersion): "AES-GCM by OpenSSL (libipsec-mb is of another version than at build time)"
        case .unavailable(.noCPU): "AES-GCM by OpenSSL (the CPU lacks VAES)"
        case .unavailable(.selfTestFailed): "AES-GCM by OpenSSL (the accelerated code failed its self-test)"
        case .unavailable(.refused): "AES-GCM by OpenSSL (OpenSSL refused the provider)"
        }
    }

    /// OpenSSL's property query for contexts that want it.
    var properties: String? { isActive ? CACCEL_PROPERTIES : nil }
}
