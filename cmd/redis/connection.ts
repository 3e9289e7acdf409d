/** Connections that are ready to take commands: encrypted where it is asked for, and known to the server. */
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { encodeCommand } from './command-bytes.ts';

export interface LinkTarget {
  readonly host: string;
  readonly port: number;
}

/** How the servers are spoken to. */
export interface LinkSecurity {
  /** Given with AUTH, in front of the password. */
  readonly user?: string | undefined;
  /** Given with AUTH. */
  readonly password?: string | undefined;
  /** What servers are checked by, and what they are shown; undefined: plain text. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'> | undefined;
}

/** What a server says to what it does not want to hear; a line is never longer. */
const MAX_LINE_BYTES = 1024;

/**
 * Opens a connection.
 * @throws the socket's error; Error with the server's words when it refuses the password
 */
export async function openConnection(target: LinkTarget, { user, password, tls }: LinkSecurity): Promise<Socket> {
  const socket = await dial(target, tls);
  if (password !== undefined) {
    try {
      await authenticate(socket, user === undefined ? [password] : [user, password]);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }
  return socket;
}

function dial(target: LinkTarget, tls: LinkSecurity['tls']): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls === undefined ? connect({ ...target, noDelay: true }) : connectTls({ ...target, ...tls });
    socket.once('error', reject);
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      socket.setNoDelay(true);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function authenticate(socket: Socket, words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const finish = (error: Error | undefined): void => {
      socket.off('data', hear);
      socket.off('error', finish);
      socket.off('close', closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = (): void => finish(new Error('the server closed the connection during AUTH'));
    const hear = (chunk: Buffer): void => {
      answer += chunk.toString('latin1');
      const end = answer.indexOf('\r\n');
      if (end < 0 && answer.length < MAX_LINE_BYTES) return;
      const line = answer.slice(0, end);
      finish(line === '+OK' ? undefined : new Error(`the server refused the password: ${line.slice(1)}`));
    };
    socket.on('data', hear);
    socket.once('error', finish);
    socket.once('close', closed);
    socket.write(encodeCommand(['AUTH', ...words]));
  });
}
