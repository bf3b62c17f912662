"""A connector in one page: what is typed here goes in, and what is answered is printed here.

    python3 connector.py URL TOKEN PORT      TOKEN is what sources.create answered
"""
import hashlib, hmac, json, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

url, token, port = sys.argv[1:]
seen = set()  # a message can come twice; a real connector keeps this on disk

def call(endpoint, body):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    urlopen(Request(f"{url}/{endpoint}", json.dumps(body).encode(), headers)).close()

class Actions(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
        given = self.headers.get("X-Airy-Content-Signature", "")
        if not hmac.compare_digest(signature.encode(), given.encode()):
            return self.answer(401, {"error": "the signature is wrong"})
        message = json.loads(body)["payload"]["message"]
        if message["id"] not in seen:
            seen.add(message["id"])
            print(message["content"]["text"], flush=True)
        self.answer(200, {"source_message_id": "terminal-" + message["id"]})

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

server = ThreadingHTTPServer(("127.0.0.1", int(port)), Actions)
threading.Thread(target=server.serve_forever, daemon=True).start()
call("sources.channels.create", {"source_channel_id": "terminal", "name": "Terminal"})
for line in sys.stdin:
    call("sources.webhook", {"messages": [{
        "source_message_id": str(uuid.uuid4()), "source_conversation_id": "me", "source_channel_id": "terminal",
        "source_sender_id": "me", "content": line.strip(), "from_contact": True, "sent_at": int(time.time() * 1000)}]})
