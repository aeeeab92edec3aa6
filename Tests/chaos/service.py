"""What stands behind a path's end: takes connections and gives each to a function."""

import socket
import threading


class Service:
    """Takes connections and gives each to `serve` on a thread of its own, until its listener is closed."""

    def __init__(self, listener: socket.socket, serve):
        self.listener, self.serve = listener, serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self.listener.close()
