// The search runs in a worker, which browsers refuse to a page that was opened from a file.
// There a hidden frame runs the same script: messages to and from it become events.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe")
    #ready

    constructor(url) {
      super()
      this.#frame.hidden = true
      document.body.append(this.#frame)
      const inside = this.#frame.contentDocument
      inside.open()
      inside.write("<body></body>")
      inside.close()
      this.#frame.contentWindow.postMessage = data => send(this, data)
      const script = inside.createElement("script")
      script.src = url
      this.#ready = new Promise(resolve => script.addEventListener("load", resolve))
      inside.body.append(script)
    }

    postMessage(data) {
      this.#ready.then(() => send(this.#frame.contentWindow, data))
    }

    terminate() {
      this.#frame.remove()
    }
  }

  function send(target, data) {
    target.dispatchEvent(new MessageEvent("message", { data }))
  }
}
