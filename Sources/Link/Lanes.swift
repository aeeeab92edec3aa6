internal import Bytes

// Several lanes between two agents (`docs/link-protocol.md`, "Lanes"). Each is a session of its own, with its own sequence,
// log and key; what is here is how the two ends agree on their number.

extension Hello {
    /// The extension by which an agent says how many lanes it takes.
    static let lanesExtension: UInt16 = 4

    /// How many lanes the sender takes, `1...maximumLanes`; nil: it knows nothing of lanes and takes one. Any other value
    /// counts as none.
    public var lanes: Int? {
        get {
            guard let value = extensions.first(where: { $0.type == Hello.lanesExtension })?.value, value.count == 1,
                (1...Hello.maximumLanes).contains(Int(value[0]))
            else { return nil }
            return Int(value[0])
        }
        set {
            extensions.removeAll { $0.type == Hello.lanesExtension }
            guard let newValue else { return }
            let value = [UInt8(min(max(newValue, 1), Hello.maximumLanes))]
            extensions.append(FrameExtension(type: Hello.lanesExtension, value: value))
        }
    }
}

extension Session {
    /// Tells the peer how many lanes this end takes from now on. Only to a peer that said in HELLO that it knows of lanes, and
    /// on lane 0. It may be lost with the link; the next HELLO says it again.
    public func announceLanes(_ count: Int) {
        guard state == .open, !isParked else { return }
        _ = write(.lanes, payload: [UInt8(min(max(count, 1), Hello.maximumLanes))])
    }

    func receivedLanes(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 1, (1...Hello.maximumLanes).contains(Int(payload[0])) else {
            return fail(.protocolError, "LANES with a bad payload")
        }
        guard pings.take(now: now) else { return fail(.flood, "too many changes of lanes") }
        return .lanes(Int(payload[0]))
    }
}
