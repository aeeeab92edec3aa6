/// Says who an external client is. Immutable: a change of configuration, keys or revocations makes another one, which
/// workers get like any other snapshot. What has to be remembered between calls is outside: ``ReplayCache``.
public struct Authenticator: Sendable {
    /// What an authenticator is made of.
    public struct Configuration: Sendable {
        /// The issuers whose tokens are accepted; each name once.
        public var issuers: [TrustedIssuer]
        /// The API keys, where there are any.
        public var apiKeys: APIKeyStore?
        /// What has been revoked.
        public var revocations: RevocationList
        /// How DPoP proofs are checked; nil where no issuer has them.
        public var dpop: DPoPSettings?
        /// The protection space in challenges (RFC 9110, section 11.5).
        public var realm: String

        /// A configuration from its parts.
        public init(
            issuers: [TrustedIssuer] = [], apiKeys: APIKeyStore? = nil, revocations: RevocationList = .init(),
            dpop: DPoPSettings? = nil, realm: String = "conduit-mesh"
        ) {
            self.issuers = issuers
            self.apiKeys = apiKeys
            self.revocations = revocations
            self.dpop = dpop
            self.realm = realm
        }
    }

    /// What it was made of, with the keys of the moment.
    public let configuration: Configuration
    /// The issuers by name.
    let issuers: [String: TrustedIssuer]

    /// An authenticator for a configuration.
    ///
    /// Errors: `duplicate_issuer`, `missing_dpop_settings`, `bad_realm`.
    public init(_ configuration: Configuration) throws(JOSEError) {
        var issuers: [String: TrustedIssuer] = [:]
        for issuer in configuration.issuers {
            guard issuers.updateValue(issuer, forKey: issuer.name) == nil else {
                throw JOSEError(
                    .duplicateIssuer, "the issuer \(issuer.name) is configured twice", hint: "keep one of them")
            }
            guard issuer.dpop != .required || configuration.dpop != nil else {
                throw JOSEError(
                    .missingDPoPSettings, "the issuer \(issuer.name) requires DPoP, which is not configured",
                    hint: "configure the public origin, which proofs are compared with")
            }
        }
        guard Self.isRealm(configuration.realm) else {
            throw JOSEError(
                .badRealm, "the realm cannot stand in a challenge",
                hint: "use visible ASCII characters without quotation mark and backslash")
        }
        self.init(configuration: configuration, issuers: issuers)
    }

    private init(configuration: Configuration, issuers: [String: TrustedIssuer]) {
        self.configuration = configuration
        self.issuers = issuers
    }

    private static func isRealm(_ realm: String) -> Bool {
        realm.utf8.count <= 128
            && realm.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }

    /// Says who presents these credentials.
    ///
    /// - Parameters:
    ///   - now: Unix seconds.
    ///   - remember: Remembers the use of a DPoP proof, in a ``ReplayCache`` that all workers share behind a lock:
    ///     `{ use in replays.withLock { $0.remember(use, at: now) } }`. Called at most once, when everything else about
    ///     the credentials is right, so the lock is never held during the verification of a signature.
    public func authenticate(
        _ credentials: ClientCredentials, at now: Int64, remember: (ProofUse) -> ReplayCache.Outcome
    ) -> Result<Authenticated, AuthenticationFailure> {
        var usesDPoP = !credentials.dpop.isEmpty
        do throws(Refusal) {
            switch try PresentedSecret(credentials) {
            case .apiKey(let text):
                return .success(try checkAPIKey(text, at: now))
            case .dpop(let text):
                usesDPoP = true
                return .success(try checkToken(text, scheme: .dpop, credentials, at: now, remember))
            case .bearer(let text):
                usesDPoP = false
                return .success(try checkToken(text, scheme: .bearer, credentials, at: now, remember))
            case .plain(let text):
                return .success(try checkToken(text, scheme: nil, credentials, at: now, remember))
            }
        } catch {
            return .failure(failure(error, usesDPoP: usesDPoP, at: now))
        }
    }

    /// Whether a client that was let in would still be: expiry, revocation by token, subject or key, an issuer or key
    /// that is no longer configured. Cheap enough for every live connection on every change; signatures are not
    /// verified again.
    public func recheck(_ client: Authenticated, at now: Int64) -> AuthenticationFailure? {
        do throws(Refusal) {
            switch client.proof {
            case .token(let issuer, let subject):
                guard issuers[issuer] != nil else {
                    throw Refusal(.unknownIssuer, "the issuer is no longer configured")
                }
                if let expiry = client.expiry, now >= expiry { throw Refusal(.expired, "the token has ended") }
                try checkRevocation(
                    issuer: issuer, subject: subject, tokenID: client.tokenID, issuedAt: client.issuedAt, at: now)
            case .apiKey(let id):
                guard let record = configuration.apiKeys?[id] else {
                    throw Refusal(.invalidAPIKey, "there is no such key any more")
                }
                try checkState(of: record, at: now)
            }
            return nil
        } catch {
            let usesDPoP = if case .bearer = client.binding { false } else { true }
            return failure(error, usesDPoP: usesDPoP, at: now)
        }
    }

    /// The answer to a client that is known but lacks scopes (RFC 6750, section 3.1): 403 `insufficient_scope`.
    public func insufficientScope(required: [String], of client: Authenticated) -> AuthenticationFailure {
        let usesDPoP =
            switch client.binding {
            case .dpop, .dpopAndCertificate: true
            case .bearer, .certificate: false
            }
        let missing = required.filter { !client.scopes.contains($0) }
        return failure(
            Refusal(.insufficientScope, "\(missing.count) scopes are absent"), usesDPoP: usesDPoP, at: 0,
            scopes: required.filter(Claims.isScope))
    }

    /// A nonce for `DPoP-Nonce`; nil where DPoP is not configured.
    public func dpopNonce(at now: Int64) -> String? { configuration.dpop?.nonces?.make(at: now) }

    /// The same with another key set for one issuer; unchanged when it does not know the issuer.
    public func replacing(keys: KeySet, of issuer: String) -> Authenticator {
        guard let changed = issuers[issuer]?.replacing(keys: keys) else { return self }
        var configuration = configuration
        configuration.issuers = configuration.issuers.map { $0.name == issuer ? changed : $0 }
        var issuers = issuers
        issuers[issuer] = changed
        return Authenticator(configuration: configuration, issuers: issuers)
    }

    /// The same with other API keys.
    public func replacing(apiKeys: APIKeyStore?) -> Authenticator {
        var configuration = configuration
        configuration.apiKeys = apiKeys
        return Authenticator(configuration: configuration, issuers: issuers)
    }

    /// The same with another revocation list.
    public func replacing(revocations: RevocationList) -> Authenticator {
        var configuration = configuration
        configuration.revocations = revocations
        return Authenticator(configuration: configuration, issuers: issuers)
    }
}
