import EventLoop
import Link

/// What a link has to do with other lanes to the same node.
extension LinkConnection {
    /// The peer takes another number of lanes from now on.
    func peerTakes(lanes count: Int) {
        guard lane.isFirst else { return close(.protocolError, "LANES on lane \(lane.number)") }
        ControlPlane.post { [shared = core.shared, node] in shared.supervisor?.peerTakes(lanes: count, node) }
    }
}
