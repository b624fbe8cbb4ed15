"""A network camera: GStreamer's RTSP server on loopback, run with the system's Python, which has its bindings.

    python3 rtsp_camera.py PORT WIDTH HEIGHT

Each frame is one grey that tells when it was made, on the system's monotonic clock, to `STEP_S`.
"""

import sys
import time

RATE_HZ = 25
# Levels of luma, and the time that each stands for. They come around after 20 s.
LOWEST, APART, LEVELS, STEP_S = 20, 5, 40, 0.5


def level_now():
    """Luma of a frame made now."""
    return LOWEST + APART * (int(time.monotonic() / STEP_S) % LEVELS)


def age_s(luma):
    """How old a frame with this mean luma is, in steps of `STEP_S`: 0 when it is younger than that."""
    made = round((luma - LOWEST) / APART)
    return (int(time.monotonic() / STEP_S) - made) % LEVELS * STEP_S


def main(port, width, height):
    """Serve rtsp://127.0.0.1:PORT/cam until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={RATE_HZ}/1"
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(
        f"( appsrc name=sensor is-live=true do-timestamp=true format=time caps={caps} ! "
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! "
        "rtph264pay name=pay0 pt=96 config-interval=1 )"
    )

    def push(sensor):
        pixels = bytes([level_now()]) * (width * height) + b"\x80" * (width * height // 2)
        sensor.emit("push-buffer", Gst.Buffer.new_wrapped(pixels))
        return True

    def on_media(_factory, media):
        sensor = media.get_element().get_by_name_recurse_up("sensor")
        timer = GLib.timeout_add(1000 // RATE_HZ, push, sensor)
        media.connect("unprepared", lambda _media: GLib.source_remove(timer))

    factory.connect("media-configure", on_media)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
