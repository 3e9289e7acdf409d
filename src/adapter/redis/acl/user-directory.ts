/**
 * The users as one node knows them. It asks the leader of their row again and again; see `user-hub.ts` for what that promises. While users were
 * stored once and it does not know them, it lets nobody in but its operator, who is in its own configuration.
 */
import type { FeatureStanding } from '../../../distribution/index.ts';
import { forwarded, GroupRouter, type KvService, NotOwnerError } from '../../../kv/index.ts';
import {
  type Clock,
  type Elapsed,
  ElapsedClock,
  type Millis,
  type NodeId,
  type Random,
  type Scheduler,
  sleep,
} from '../../../platform/index.ts';
import type { PasswordCheck } from '../../../security/index.ts';
import type { EvaluationSettings, Identity } from '../command/index.ts';
import { KEYSPACES, USERS_DB } from '../keys/index.ts';
import { RedisError } from '../protocol/index.ts';
import { admitNobody, DEFAULT_USER, User, type UserEnvironment } from './user.ts';
import { LEASE_MS, USERS_KEY, UserHub } from './user-hub.ts';
import { UserTable } from './user-table.ts';
import { decodeUserAnswer, encodeUserRequest, USER_SERVICE, type UserAnswer, type UserQuestion } from './user-wire.ts';

/** The user that the configuration of a node lets in, whatever users there are. */
export const OPERATOR = 'kvorum-operator';

/** How long the leader of the row may hold a question; well below the lease, so that an answer that is lost costs nothing. */
const HOLD_MS: Millis = 1_000;
/** An answer that has not come by then is lost. */
const PATIENCE_MS: Millis = 1_500;
/** The first one: nobody is let in before it is answered, and on a loaded machine a late answer is still worth more than another question. */
const FIRST_PATIENCE_MS: Millis = 3_000;
/** Between questions that were not answered, and looks at a feature that is not active. */
const PAUSE_MS: Millis = 100;
/** All users together, bytes: they travel as one message. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Changes that lose against others this often in a row are given up. */
const MAX_TRIES = 32;

const STORAGE_KEY = KEYSPACES[USERS_DB]!.storageKey(USERS_KEY);

export interface UserDirectoryOptions {
  readonly kv: KvService;
  /** The machine's own: see `ElapsedClock`. */
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly settings: () => EvaluationSettings;
  readonly environment: UserEnvironment;
  /** Passwords of the user `default` as long as nobody has stored it; undefined: it needs none. */
  readonly passwords: PasswordCheck | undefined;
  /** Passwords of the operator; undefined: there is none. */
  readonly operator: PasswordCheck | undefined;
  /** False: there are no users but those of the configuration. */
  readonly isShared: boolean;
  /** How the feature `redis.acl` stands. */
  readonly standing: () => FeatureStanding;
  readonly members: () => readonly NodeId[];
  /** Called when users have changed, or have become known. */
  readonly changed: () => void;
  readonly unexpected: (error: unknown) => void;
}

/** An identity of this room's users. */
export interface KnownIdentity extends Identity {
  readonly user: User;
}

/** See the top of the file. */
export class UserDirectory {
  private readonly options: UserDirectoryOptions;
  private readonly router: GroupRouter;
  /** The lease goes by it: others count on its end, whether this machine sleeps or not. */
  private readonly elapsed: Elapsed;
  private table = UserTable.NONE;
  /** The users have been heard of since the start. */
  private isHeard = false;
  /** When the newest question was asked that was answered, elapsed time. The node may go by the users for a while from then on. */
  private askedMs: Millis = Number.NEGATIVE_INFINITY;
  private isStopped = false;
  private configured: { readonly hashes: readonly string[]; readonly user: User } | undefined;
  private readonly operatorIdentity: KnownIdentity;

  constructor(options: UserDirectoryOptions) {
    this.options = options;
    const { kv, clock, scheduler, random, settings, members, unexpected, environment } = options;
    this.router = new GroupRouter({ kv, clock, scheduler, random });
    this.elapsed = new ElapsedClock(clock);
    const operator = User.unlimited(OPERATOR, environment, []);
    this.operatorIdentity = { user: operator, born: 0, isOperator: true };
    if (!options.isShared) return;
    new UserHub({
      kv,
      clock,
      scheduler,
      settings,
      members,
      unexpected,
      revisionOf: (users) => UserTable.revisionOf(users),
    });
    void this.follow();
  }

  stop(): void {
    this.isStopped = true;
  }

  /** All users as they are stored. */
  get stored(): UserTable {
    return this.table;
  }

  /** False while users may be stored that this node does not know, or not any more. */
  get areKnown(): boolean {
    if (!this.options.isShared) return true;
    if (this.isHeard) return this.table.revision === 0 || this.elapsed.elapsedMs() < this.askedMs + LEASE_MS;
    const standing = this.options.standing();
    // Users are stored only where the feature is active. Before a node has heard of its cluster, it may be.
    return standing.kind === 'off' || (standing.kind === 'coming' && standing.unheard.length > 0);
  }

  /** Clients have to give a password, or may be other users than `default`. */
  get asksWho(): boolean {
    return this.table.revision > 0 || this.options.passwords !== undefined;
  }

  /** A user by its name; the default user is always there. */
  find(name: string): KnownIdentity | undefined {
    const stored = this.table.find(name);
    if (stored !== undefined) return { ...stored, isOperator: false };
    return name === DEFAULT_USER ? { user: this.configuredDefault(), born: 0, isOperator: false } : undefined;
  }

  get defaultIdentity(): KnownIdentity {
    return this.find(DEFAULT_USER)!;
  }

  /** The users in order of their names, `default` among them. */
  all(): User[] {
    const users = this.table.all().map(({ user }) => user);
    if (this.table.find(DEFAULT_USER) === undefined) users.push(this.configuredDefault());
    return users.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** Who comes in with a name and a password; undefined: nobody. Takes the same time whatever is wrong. */
  admit(name: string, password: Buffer): KnownIdentity | undefined {
    const { operator } = this.options;
    if (operator !== undefined && name === OPERATOR) {
      return operator.matches(password) ? this.operatorIdentity : undefined;
    }
    const found = this.find(name);
    const isAdmitted = found === undefined ? admitNobody(password) : found.user.admits(password);
    return isAdmitted ? found : undefined;
  }

  /**
   * Changes the users of the cluster. Every node goes by the new ones when it returns.
   * @param decide called with the newest users, perhaps more than once; no `table` changes nothing
   * @throws RedisError what `decide` throws; when there are too many users; when a node is not known to go by the first users
   */
  async change<T>(decide: (table: UserTable) => { readonly table?: UserTable; readonly result: T }): Promise<T> {
    if (!this.options.isShared) throw new RedisError('ERR the only users are those of the configuration of the node');
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      if (!this.isHeard || attempt > 0) await this.ask(0);
      const before = this.table;
      const { table, result } = decide(before);
      if (table === undefined) return result;
      const users = table.encode();
      if (users.length > MAX_BYTES) {
        throw new RedisError(`ERR all users together have at most ${MAX_BYTES} bytes`);
      }
      const { answer } = await this.send({ kind: 'change', revision: before.revision, users }, LEASE_MS + PATIENCE_MS);
      if (answer.kind !== 'stored') continue;
      // The first users of a cluster: a node that does not know that there are any goes on without.
      if (before.revision === 0 && answer.unheard.length > 0) {
        throw new RedisError(
          `UNKNOWN the change is stored, but not every node has said that it goes by it (node ${answer.unheard.join(', ')})`,
        );
      }
      return result;
    }
    throw new RedisError('TRYAGAIN others change the users all the time; nothing was changed, try again');
  }

  private configuredDefault(): User {
    const hashes = this.options.passwords?.hashes ?? [];
    if (this.configured?.hashes !== hashes) {
      this.configured = { hashes, user: User.unlimited(DEFAULT_USER, this.options.environment, hashes) };
    }
    return this.configured.user;
  }

  private async follow(): Promise<void> {
    const { standing, scheduler } = this.options;
    while (!this.isStopped) {
      let isAnswered = false;
      if (standing().kind === 'active') {
        try {
          await this.ask(this.isHeard ? HOLD_MS : 0);
          isAnswered = true;
        } catch {
          // Whoever leads the row cannot be reached, or nobody does.
        }
      }
      if (!isAnswered) await sleep(scheduler, PAUSE_MS);
    }
  }

  /** Asks whether the users are still the same. @param holdMs how long the answer may take when they are */
  private async ask(holdMs: Millis): Promise<void> {
    const { table, isHeard } = this;
    const revision = isHeard ? table.revision : 0;
    const patienceMs = isHeard ? holdMs + PATIENCE_MS : FIRST_PATIENCE_MS;
    const { answer, sentMs } = await this.send({ kind: 'watch', revision, holdMs }, patienceMs);
    // Answers may overtake each other.
    if (sentMs < this.askedMs) return;
    if (answer.kind === 'users') {
      this.table =
        answer.users === undefined ? UserTable.NONE : UserTable.decode(answer.users, this.options.environment);
    } else if (answer.kind !== 'same' || this.table !== table) return;
    this.askedMs = sentMs;
    this.isHeard = true;
    if (!isHeard || answer.kind === 'users') this.options.changed();
  }

  private async send(
    question: UserQuestion,
    patienceMs: Millis,
  ): Promise<{ readonly answer: UserAnswer; readonly sentMs: Millis }> {
    const { kv } = this.options;
    const isRead = question.kind === 'watch';
    const deadlineMs = this.router.deadline(patienceMs);
    return this.router.at([STORAGE_KEY], { deadlineMs, isRead }, async (group) => {
      const sentMs = this.elapsed.elapsedMs();
      const payload = encodeUserRequest({ ...question, group, node: kv.nodeId });
      const answer = decodeUserAnswer(await forwarded(kv, group, USER_SERVICE, payload, deadlineMs));
      if (answer.kind === 'refused') throw new NotOwnerError(undefined);
      return { answer, sentMs };
    });
  }
}
