import EventLoop
import JSON
import Policy

/// Everything that the agent listens on.
extension Agent {
    /// A listener that is bound and not served yet.
    struct Bound {
        let kind: InheritedListeners.Kind
        let descriptor: Int32
        let isActivated: Bool
    }

    /// Binds what the configuration wants, or takes it where it is there already.
    func bind() throws {
        let listen = configuration.listen
        if let mesh = listen.mesh { try bind(.mesh, try SocketAddress(parsing: mesh.description)) }
        try StateDirectory.prepare(StateDirectory.parent(of: listen.control))
        try bind(.control, .unix(path: listen.control))
        let takeover = TakeoverHost.path(control: listen.control)
        if SocketAddress.isUsable(path: takeover) {
            try bind(.takeover, .unix(path: takeover))
        } else {
            log.warning(
                "takeover_unavailable", "the path of the control socket is too long for a second one beside it",
                [("hint", .string("set listen.control to a shorter path, or this agent cannot be taken over"))])
        }
        if let metrics = listen.metrics { try bind(.metrics, try SocketAddress(parsing: metrics.description)) }
        if ca != nil, let address = configuration.ca.listen {
            try bind(.ca, try SocketAddress(parsing: address.description))
        }
        for upstream in configuration.upstreams { boundUpstreams.append(try bindUpstream(upstream)) }
        try inherited.requireAllActivatedTaken()
    }

    private func bind(_ kind: InheritedListeners.Kind, _ address: SocketAddress) throws {
        let taken = try inherited.listen(kind, address)
        let isActivated = taken.isActivated
        bound.append(Bound(kind: kind, descriptor: taken.release(), isActivated: isActivated))
    }

    /// Binds an upstream's address.
    func bindUpstream(_ upstream: Configuration.Upstream) throws -> UpstreamListener {
        let taken = try inherited.listen(.upstream, try SocketAddress(parsing: upstream.listen.description))
        let isActivated = taken.isActivated
        return UpstreamListener(
            FileDescriptor(owning: taken.release()), origin: Self.origin(upstream),
            settings: Self.settings(upstream, configuration.limits), isActivated: isActivated)
    }

    /// How an upstream is named in logs, and between two processes.
    static func origin(_ upstream: Configuration.Upstream) -> String { "upstream \(upstream.listen)" }

    static func settings(
        _ upstream: Configuration.Upstream, _ limits: Configuration.Limits
    ) -> UpstreamListener.Settings {
        UpstreamListener.Settings(
            service: upstream.service, acting: upstream.actAs.map { .service($0) } ?? .node, node: upstream.node,
            instance: upstream.instance, connectTimeout: upstream.connectTimeout.nanoseconds,
            maximumConnections: limits.maxConnectionsPerUpstream)
    }

    /// Starts to accept on everything but upstreams and edge.
    func openDoors() throws {
        for listener in bound {
            let socket = FileDescriptor(owning: listener.descriptor)
            if listener.isActivated { activated.insert(listener.kind) }
            switch listener.kind {
            case .mesh:
                meshDoor = try makeMeshDoor(socket)
            case .control:
                controlDoor = try Door(socket, log: log) { [unowned self] descriptor, _ in
                    self.acceptControl(descriptor)
                }
            case .metrics: metricsDoor = try MetricsDoor(socket, of: self, log: log)
            case .ca: ca?.start(socket, log: log)
            case .takeover: takeoverHost = try TakeoverHost(socket, agent: self, log: log)
            case .upstream, .edge: preconditionFailure("these have lists of their own")
            }
        }
        bound = []
    }

    private func acceptControl(_ descriptor: consuming FileDescriptor) {
        do throws(SystemError) {
            let peer = try Socket.peerCredentials(descriptor.rawValue)
            let groups = try Socket.peerGroups(descriptor.rawValue)
            let user = LocalUser(uid: peer.uid, name: nil, gids: [peer.gid] + groups.filter { $0 != peer.gid })
            serveHTTP(descriptor, .user(user), api.serve(.control))
        } catch {
            log.warning("control_denied", "a caller without credentials was refused", [("detail", .string("\(error)"))])
        }
    }

    /// Serves the control API on a socket of a local caller, or of a stream to a built-in service.
    func serveHTTP(
        _ descriptor: consuming FileDescriptor, _ caller: ControlCaller,
        _ handler: @escaping HTTPServerConnection.Handler
    ) {
        controlConnections.serve(descriptor, caller, handler)
    }

    // MARK: - For another process

    /// Copies of everything that listens. The caller closes them.
    func duplicateListeners() throws -> [OfferedListener] {
        var offered: [OfferedListener] = []
        func add(_ kind: InheritedListeners.Kind, _ descriptor: Int32?, isActivated: Bool) {
            guard let descriptor else { return }
            offered.append(OfferedListener(kind: kind, descriptor: descriptor, isActivated: isActivated))
        }
        do {
            add(.mesh, try meshDoor?.duplicate(), isActivated: activated.contains(.mesh))
            add(.control, try controlDoor?.duplicate(), isActivated: activated.contains(.control))
            add(.takeover, try takeoverHost?.duplicate(), isActivated: false)
            add(.metrics, try metricsDoor?.duplicate(), isActivated: activated.contains(.metrics))
            add(.ca, try ca?.duplicateListener(), isActivated: activated.contains(.ca))
            for upstream in upstreams.values {
                add(.upstream, try upstream.listening.duplicate(), isActivated: upstream.isActivated)
            }
            for listener in edge.allListeners {
                add(.edge, try listener.listening.duplicate(), isActivated: listener.isActivated)
            }
        } catch {
            for listener in offered { FileDescriptor(owning: listener.descriptor).close() }
            throw error
        }
        return offered
    }

    /// Accepts nothing more on everything but upstreams and edge.
    func closeDoors() {
        meshDoor?.close()
        meshDoor = nil
        controlDoor?.close()
        controlDoor = nil
        takeoverHost?.close()
        metricsDoor?.close()
    }

    /// Removes the files of Unix sockets, unless somebody else listens on them.
    func removeSocketFiles() {
        guard !isHandedOver else { return }
        if !activated.contains(.control) { Socket.removeSocketFile(configuration.listen.control) }
        Socket.removeSocketFile(TakeoverHost.path(control: configuration.listen.control))
        for upstream in upstreams.values { upstream.removeSocketFile() }
    }

    /// Ends the conversations of the control API and of built-in services; each gets the answer that it waits for.
    func closeControlConnections() { controlConnections.finish() }
}
