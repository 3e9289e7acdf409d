/** What the server and other clients see of one client, whoever serves it: CLIENT LIST and KILL, INFO, PUBLISH. */
import type { Millis } from '../../../platform/index.ts';
import type { Scope } from '../messages/index.ts';
import type { EncodedReply } from '../protocol/index.ts';

/** What others see of a client that keeps keys. */
export interface TrackingView {
  readonly isOn: boolean;
  readonly isBroadcast: boolean;
  /** The client that is told in its place is gone. */
  readonly isBroken: boolean;
  /** Number of the client that is told in its place; 0: none, -1: it keeps no keys. */
  readonly redirect: number;
}

export interface ConnectedClient {
  readonly id: number;
  /** `host:port` of the client, and what it has connected to. */
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** Monotonic. */
  readonly connectedMs: Millis;
  /** When its last command began, monotonic. */
  readonly lastCommandMs: Millis;
  /** Full name of its last command. */
  readonly lastCommand: string;
  readonly name: string;
  readonly libName: string;
  readonly libVersion: string;
  /** Selected database. */
  readonly db: number;
  /** Protocol version of its replies. */
  readonly resp: 2 | 3;
  /** CLIENT NO-EVICT and NO-TOUCH; nothing depends on them. */
  readonly noEvict: boolean;
  readonly noTouch: boolean;
  /** READONLY: replicas may answer its reads. */
  readonly readOnly: boolean;
  /** It watches all commands of the node (MONITOR). */
  readonly isMonitor: boolean;
  /** False until the client has given a password, where one is asked for. */
  readonly isAuthenticated: boolean;
  /** `default` until it has said another one. */
  readonly userName: string;
  /** Commands that wait for EXEC; undefined outside MULTI. */
  readonly queuedCommands: number | undefined;
  /** Channels and patterns that it listens to. */
  listensTo(scope: Scope): number;
  readonly tracking: TrackingView;
  /** Bytes received that are not part of a started command. */
  readonly queryBufferBytes: number;
  /** Bytes that the client has not taken. */
  readonly unreadReplyBytes: number;
  /** Commands whose reply was not written. */
  readonly pendingReplies: number;
  /** A command has not begun, because CLIENT PAUSE holds it. */
  readonly isPaused: boolean;
  /** Its command waits for keys. */
  readonly isBlocked: boolean;
  /** Ends the wait of its command. @returns false when none waits */
  unblock(reply: 'timeout' | 'error'): boolean;
  /** True when nothing came in or went out since then and nothing is owed to the client. */
  isIdleSince(sinceMs: Millis): boolean;
  /**
   * Sends a message that is no reply, in the client's protocol version, as soon as it fits between two replies. A client that leaves
   * too many of them unread is disconnected.
   * @param after a command's place as `ClientSession.replyPlace` told it: the message goes behind that command's reply
   */
  push(message: EncodedReply, after?: number): void;
  /** Ends the connection when the client has left too much unread for too long. */
  dropIfSlow(): void;
  /** Ends what it listens to in slots that other nodes lead, where it has asked to be told of that. */
  leaveMovedSlots(): void;
  /** The users of the cluster have changed: what the client may do has, or it is disconnected because its user is gone. */
  usersChanged(): void;
  /** Starts what waits for the end of CLIENT PAUSE. */
  resumeFromPause(): void;
  /** Ends the connection once the replies of the commands so far are written. */
  closeAfterReplies(): void;
  /** Ends the connection as soon as everything that the client has sent is answered, and nothing that it has begun is open. */
  closeWhenAnswered(): void;
  /** Ends the connection now. */
  destroy(): void;
}
