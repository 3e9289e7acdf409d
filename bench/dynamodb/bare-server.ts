/** Answers every request with the same bytes and looks at none of them: what a request costs where nothing is done about it. Takes its port as argument. */
import { createServer } from 'node:net';

/** About what GetItem answers for a record of the loads. */
const BODY_BYTES = 1_300;
const ANSWER = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n${'x'.repeat(BODY_BYTES)}`);

createServer({ noDelay: true }, (socket) => {
  // A connection has one request at a time, which comes in one piece.
  socket.on('data', () => socket.write(ANSWER));
  socket.on('error', () => socket.destroy());
}).listen(Number(process.argv[2]), '127.0.0.1');
