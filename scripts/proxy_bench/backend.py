"""What is behind the proxies: one nginx worker that is as many endpoints as are wanted.

Every address of 127.0.0.0/8 is the machine's own, so 10,000 endpoints are 10,000 addresses with one port. A socket for
each would take half of the usual limit of open files; one socket for all addresses would be open to the network. So we
bind it to the loopback interface, which nginx's configuration cannot, and hand it over, as nginx does itself when its
binary is upgraded: it takes the sockets that $NGINX lists."""

import os
import socket

import configs
from processes import Failed, Process, free_port

ANSWER = "x" * 100
FILES = {"16k": 16 << 10, "1m": 1 << 20}


def endpoints(count, port):
    """That many addresses, 127.1.0.1 first."""
    return [f"127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}:{port}" for n in range(count)]


class Backend:
    """nginx on a core."""

    def __init__(self, nginx, directory, core, files):
        self.port = free_port()
        os.mkdir(directory)
        os.mkdir(f"{directory}/files")
        for name, size in FILES.items():
            with open(f"{directory}/files/{name}", "wb") as file:
                file.write(b"x" * size)
        with open(f"{directory}/files/post", "w"):
            pass  # Has to be there to refuse a POST.
        values = {"DIR": directory, "PORT": self.port, "CONNECTIONS": min(files - 100, 30_000), "ANSWER": ANSWER}
        configs.write("backend.conf", directory, values)
        with loopback_socket(self.port) as listener:
            self.process = Process(
                [nginx, "-p", directory, "-c", f"{directory}/backend.conf"],
                directory,
                core,
                environment={"NGINX": f"{listener.fileno()};"},
                sockets=[listener.fileno()],
            )
        try:
            self.process.await_answer(self.port, 10)
        except BaseException:
            self.process.stop()
            raise

    def stop(self):
        """Ends it."""
        self.process.stop()


def loopback_socket(port):
    """Listens on all addresses of the loopback interface, and on no other interface."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        listener.bind(("0.0.0.0", port))
        listener.listen(4096)
        listener.setblocking(False)  # nginx expects that of what it is handed.
    except PermissionError:
        listener.close()
        raise Failed("binding a socket to the loopback interface needs Linux 5.7, or root") from None
    return listener
