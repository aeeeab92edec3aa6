/// The log, the streams and the lists over them: what every frame touches.
///
/// A session keeps them behind a pointer. As stored properties of a class each use would cost a run-time exclusivity check,
/// 40 % of the time of a small frame; they are structures that call nobody and are used only from within the room, one at
/// a time, on one thread.
struct SessionTables: ~Copyable {
    var outbox: Outbox
    var slab = StreamSlab()
    var map: StreamMap
    var ready = SendRound()
    var control = StreamRing.control()
}

extension Session {
    var outbox: Outbox {
        _read { yield tables.pointee.outbox }
        _modify { yield &tables.pointee.outbox }
    }

    var slab: StreamSlab {
        _read { yield tables.pointee.slab }
        _modify { yield &tables.pointee.slab }
    }

    var map: StreamMap {
        _read { yield tables.pointee.map }
        _modify { yield &tables.pointee.map }
    }

    var ready: SendRound {
        _read { yield tables.pointee.ready }
        _modify { yield &tables.pointee.ready }
    }

    var control: StreamRing {
        _read { yield tables.pointee.control }
        _modify { yield &tables.pointee.control }
    }
}
