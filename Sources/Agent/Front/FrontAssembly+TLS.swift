import PKI

/// Who speaks TLS to whom, and with which certificates.
///
/// With a plain target the front is the server side: certificate, key and CA are the listener's. With a TLS target and a
/// listener that nothing makes speak TLS, it is the client side: they are for the connection to the target.
extension FrontAssembly {
    private static let mode = "edge.listeners[0].tls"

    mutating func assembleTLS() {
        let enabled = boolean(.tlsEnabled)
        if isClientSide(enabled) { assembleClientSide() } else { assembleServerSide(enabled) }
    }

    /// A setting that is true or false; reports anything else.
    private mutating func boolean(_ name: FrontSettings.Name) -> Bool? {
        guard let value = settings[name] else { return nil }
        if let flag = BooleanText.parse(value.text) { return flag }
        report(
            .badValue, value.origin, "", "expected true or false, found \"\(value.text)\"",
            hint: "write true or false")
        settings.drop(name)
        return nil
    }

    private func isClientSide(_ enabled: Bool?) -> Bool {
        guard enabled != true, !front.targets.isEmpty, front.targets.allSatisfy(\.url.isSecure) else { return false }
        return front.configuration.edge.listeners.enumerated().allSatisfy { index, listener in
            origins["edge.listeners[\(index)].tls"] != nil
                ? listener.tls == .disabled
                : listener.certificates.isEmpty && listener.developmentNames.isEmpty
                    && listener.developmentAddresses.isEmpty
        }
    }

    // MARK: - Client side

    private mutating func assembleClientSide() {
        for index in front.configuration.edge.listeners.indices {
            front.configuration.edge.listeners[index].tls = .disabled
        }
        if let value = settings[.verifyClient], boolean(.verifyClient) == true {
            report(
                .conflict, value.origin, "edge.listeners[0].clientCertificates.mode",
                "clients speak plain text here, so they cannot show certificates",
                hint: "this is the client side, as the target speaks TLS; for TLS on both sides add --tls-enabled")
        }
        let fields: [(FrontSettings.Name, String, flag: String)] = [
            (.certificateFile, "certificate", "--to-certificate-file"),
            (.privateKeyFile, "key", "--to-private-key-file"), (.caFile, "ca", "--to-ca-file"),
            (.minimumVersion, "minimumVersion", ""),
        ]
        for (name, field, flag) in fields {
            guard let value = settings[name] else { continue }
            let key = "targets[0].\(field)"
            if origins[key] == .flag(flag), value.rank == .flag {
                report(
                    .conflict, value.origin, key, "means the same as \(flag) on the client side",
                    hint: "leave one of the two out")
                continue
            }
            if origins[key] == .flag(flag) { continue }
            guard isOnly(.targets, "target", value) else { continue }
            Self.put(
                value, text: value.text, FrontTable.target.first { $0.name == field }, key, &front.targets[0],
                &decoding)
        }
    }

    // MARK: - Server side

    private mutating func assembleServerSide(_ enabled: Bool?) {
        let enabled = contradiction(enabled)
        let hadMode = origins[Self.mode] != nil
        assembleCertificates()
        if enabled == false {
            switchOff()
        } else {
            if enabled == true { assembleDevelopment(replacing: hadMode) }
            assembleMode()
        }
        if let value = settings[.minimumVersion], isOnly(.listeners, "listener", value) {
            putListener(
                value, text: value.text, EdgeTable.listener.first { $0.name == "minimumVersion" },
                "edge.listeners[0].minimumVersion")
        }
        assembleClientCertificates()
    }

    /// Certificate and key imply TLS: `false` from the same or a weaker source does not switch it off.
    private mutating func contradiction(_ enabled: Bool?) -> Bool? {
        let pair = [settings[.certificateFile], settings[.privateKeyFile]].compactMap { $0 }
        guard let switched = settings[.tlsEnabled], enabled == false, let strongest = pair.map(\.rank).max() else {
            return enabled
        }
        if switched.rank > strongest {
            warn(
                .conflict, switched.origin, "edge.listeners[0].certificates",
                "TLS is off, and certificate and key (\(pair.map(\.origin.description).joined(separator: ", "))) are "
                    + "not used")
            settings.drop(.certificateFile)
            settings.drop(.privateKeyFile)
            return false
        }
        warn(
            .conflict, switched.origin, Self.mode,
            "TLS stays on: certificate and key (\(pair.map(\.origin.description).joined(separator: ", "))) imply it",
            hint: "remove them to switch TLS off")
        return nil
    }

    private mutating func assembleCertificates() {
        let (certificate, key) = (settings[.certificateFile], settings[.privateKeyFile])
        guard let given = certificate ?? key, isOnly(.listeners, "listener", given) else { return }
        let list = "edge.listeners[0].certificates"
        decoding.origins = decoding.origins.filter { !$0.key.hasPrefix(list) }
        decoding.origins[list] = given.origin
        var pair = Configuration.EdgeCertificate()
        if let certificate {
            Self.put(
                certificate, text: certificate.text, EdgeTable.certificate.first { $0.name == "certificate" },
                "\(list)[0].certificate", &pair, &decoding)
        }
        if let key {
            Self.put(
                key, text: key.text, EdgeTable.certificate.first { $0.name == "key" }, "\(list)[0].key", &pair,
                &decoding)
        }
        front.configuration.edge.listeners[0].certificates = [pair]
        front.configuration.edge.listeners[0].developmentNames = []
        front.configuration.edge.listeners[0].developmentAddresses = []
        if key == nil {
            report(
                .conflict, given.origin, "\(list)[0].certificate", "a certificate needs its private key as well",
                hint: "give the key where the certificate is given: \(Self.partner(of: given.origin))")
        } else if certificate == nil {
            report(
                .conflict, given.origin, "\(list)[0].key", "a private key needs its certificate as well",
                hint: "give the certificate where the key is given: \(Self.partner(of: given.origin))")
        }
    }

    /// The name of the other half of the pair, in the same source.
    private static func partner(of origin: ConfigurationOrigin) -> String {
        let pairs = [
            ("--certificate-file", "--private-key-file"), ("_WS_CERT_FILE", "_WS_KEY_FILE"),
            ("_CERTIFICATE_FILE", "_PRIVATE_KEY_FILE"),
        ]
        let name: String
        switch origin {
        case .flag(let flag): name = flag
        case .environment(let variable): name = variable
        case .file, .default: return "certificate_file and private_key_file"
        }
        for (one, other) in pairs {
            if name.hasSuffix(one) { return name.dropLast(one.count) + other }
            if name.hasSuffix(other) { return name.dropLast(other.count) + one }
        }
        return name
    }

    /// TLS is switched on and there are no files: a certificate for development.
    private mutating func assembleDevelopment(replacing hadMode: Bool) {
        guard let switched = settings[.tlsEnabled], isOnly(.listeners, "listener", switched) else { return }
        let listener = front.configuration.edge.listeners[0]
        if listener.tls == .disabled || listener.tls == .behindProxy {
            if case .flag? = origins[Self.mode] {
                report(
                    .conflict, switched.origin, Self.mode, "TLS is switched on here, and off by \(origin(Self.mode))",
                    hint: "leave one of the two out")
                return
            }
            front.configuration.edge.listeners[0].tls = .application
        }
        if !hadMode { decoding.origins[Self.mode] = switched.origin }
        guard listener.certificates.isEmpty, listener.developmentNames.isEmpty, listener.developmentAddresses.isEmpty
        else { return }
        let key = "edge.listeners[0].developmentCertificate"
        var (names, addresses) = DevelopmentCertificate.names(forListenersAt: [listener.address.host ?? "127.0.0.1"])
        if let origin = listener.publicOrigin, let url = try? FrontURL(parsing: origin), let host = url.address.host {
            if url.address.isName {
                if !names.contains(host) { names.append(host) }
            } else if !addresses.contains(host) {
                addresses.append(host)
            }
        }
        front.configuration.edge.listeners[0].developmentNames = names
        front.configuration.edge.listeners[0].developmentAddresses = addresses
        decoding.origins["\(key).names"] = switched.origin
        decoding.origins["\(key).addresses"] = switched.origin
    }

    /// How the listener speaks where nothing says it: TLS if there is anything for it.
    private mutating func assembleMode() {
        guard origins[Self.mode] == nil, !fileHas.listeners else { return }
        let listener = front.configuration.edge.listeners[0]
        guard listener.certificates.isEmpty, listener.developmentNames.isEmpty else { return }
        front.configuration.edge.listeners[0].tls = .disabled
        let key = "edge.listeners[0].address"
        guard !listener.address.isLoopback, !listener.force, !decoding.issues.contains(where: { $0.key == key }) else {
            return
        }
        report(
            .notLoopback, origins[key], key,
            "\(listener.address) can be reached by other hosts, and nothing says how TLS is spoken",
            hint: "give --certificate-file and --private-key-file, or --tls-enabled for a development certificate")
    }

    private mutating func switchOff() {
        guard let switched = settings[.tlsEnabled], isOnly(.listeners, "listener", switched) else { return }
        let listener = front.configuration.edge.listeners[0]
        guard listener.tls == .application || listener.tls == .auto else { return }
        if case .flag? = origins[Self.mode], switched.rank == .flag {
            report(
                .conflict, switched.origin, Self.mode, "TLS is switched off here, and on by \(origin(Self.mode))",
                hint: "leave one of the two out")
            return
        }
        front.configuration.edge.listeners[0].tls = .disabled
        front.configuration.edge.listeners[0].certificates = []
        front.configuration.edge.listeners[0].developmentNames = []
        front.configuration.edge.listeners[0].developmentAddresses = []
        decoding.origins[Self.mode] = switched.origin
    }

    private mutating func assembleClientCertificates() {
        if let ca = settings[.caFile], isOnly(.listeners, "listener", ca) {
            putListener(
                ca, text: ca.text, EdgeTable.listener.first { $0.name == "clientCertificates.ca" },
                "edge.listeners[0].clientCertificates.ca")
        }
        guard let verify = settings[.verifyClient], let isOn = boolean(.verifyClient),
            isOnly(.listeners, "listener", verify)
        else { return }
        let key = "edge.listeners[0].clientCertificates.mode"
        front.configuration.edge.listeners[0].clientCertificates = isOn ? .required : .none
        decoding.origins[key] = verify.origin
    }

    private func origin(_ key: String) -> ConfigurationOrigin { origins[key] ?? .default }
}
