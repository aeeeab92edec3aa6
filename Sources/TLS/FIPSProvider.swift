internal import COpenSSL
internal import Synchronization

/// OpenSSL's FIPS provider (fips_module(7)), which the profile `fips` runs on.
public enum FIPSProvider {
    private static let state = Mutex(false)

    /// Whether everything in this process that OpenSSL computes comes from it.
    public static var isActive: Bool { state.withLock { $0 } }

    /// Loads it, and makes it the only source of algorithms in this process; contexts that are made from now on offer
    /// what it has. Where it is and how it passed its self-test stand in OpenSSL's configuration, as `openssl
    /// fipsinstall` writes it.
    ///
    /// - Throws: `fipsUnavailable`.
    public static func activate() throws(TLSError) {
        let failure: TLSError? = state.withLock { isActive in
            if isActive { return nil }
            ERR_clear_error()
            // A provider that is loaded takes the place of those that come by themselves, unless it is tried like this: what
            // fails leaves OpenSSL as it was. `base` decodes keys and certificates, which the FIPS provider does not.
            guard OSSL_PROVIDER_try_load(nil, "fips", 1) != nil, OSSL_PROVIDER_load(nil, "default") != nil,
                OSSL_PROVIDER_load(nil, "base") != nil, EVP_default_properties_enable_fips(nil, 1) == 1
            else {
                return TLSError(
                    .fipsUnavailable,
                    "the profile fips needs OpenSSL's FIPS provider, which cannot be loaded: \(TLSError.queued())",
                    hint: "install a validated module and its configuration (openssl fipsinstall; OPENSSL_MODULES and "
                        + "OPENSSL_CONF name them), or choose another tls.profile")
            }
            isActive = true
            return nil
        }
        if let failure { throw failure }
    }

    /// Algorithms may come from elsewhere again.
    public static func deactivate() {
        state.withLock { isActive in
            guard isActive else { return }
            EVP_default_properties_enable_fips(nil, 0)
            isActive = false
        }
    }
}
