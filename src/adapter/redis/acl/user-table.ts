/**
 * All users as they are stored: one value that every node reads. The user `default` is in it once somebody has changed it; before that it is what
 * the configuration of the node says.
 */
import { DEFAULT_USER, User, type UserEnvironment, type UserParts } from './user.ts';

/** Stored: u8 format, u64 revision, then the users as JSON. Raised when the layout changes. */
const FORMAT = 1;
const REVISION_AT = 1;
const USERS_AT = 9;

export interface StoredUser {
  readonly user: User;
  /** The revision that made it: one of the same name that was deleted before was another. */
  readonly born: number;
}

/** Immutable. */
export class UserTable {
  /** 0 while none was ever stored; rises by one with each change. */
  readonly revision: number;
  private readonly users: ReadonlyMap<string, StoredUser>;

  private constructor(revision: number, users: ReadonlyMap<string, StoredUser>) {
    this.revision = revision;
    this.users = users;
  }

  static readonly NONE = new UserTable(0, new Map());

  find(name: string): StoredUser | undefined {
    return this.users.get(name);
  }

  /** In order of their names. */
  all(): StoredUser[] {
    return [...this.users.values()].sort((one, other) => (one.user.name < other.user.name ? -1 : 1));
  }

  /** With one user as it is now. */
  with(user: User): UserTable {
    const revision = this.revision + 1;
    const born = this.users.get(user.name)?.born ?? revision;
    return new UserTable(revision, new Map(this.users).set(user.name, { user, born }));
  }

  /** Without some users. */
  without(names: readonly string[]): UserTable {
    const left = new Map(this.users);
    for (const name of names) left.delete(name);
    return new UserTable(this.revision + 1, left);
  }

  /** With these users and no other. All but the default user count as new ones, so that their clients have to come in again. */
  replacedBy(users: readonly User[]): UserTable {
    const revision = this.revision + 1;
    const bornOf = (name: string): number =>
      name === DEFAULT_USER ? (this.users.get(name)?.born ?? revision) : revision;
    return new UserTable(revision, new Map(users.map((user) => [user.name, { user, born: bornOf(user.name) }])));
  }

  encode(): Buffer {
    const users = this.all().map(({ user, born }) => ({ ...user.toParts(), born }));
    const head = Buffer.alloc(USERS_AT);
    head[0] = FORMAT;
    head.writeBigUInt64BE(BigInt(this.revision), REVISION_AT);
    return Buffer.concat([head, Buffer.from(JSON.stringify(users))]);
  }

  /** The revision of users that `encode` has written. */
  static revisionOf(bytes: Buffer): number {
    return Number(bytes.readBigUInt64BE(REVISION_AT));
  }

  /** @throws SyntaxError for what `encode` has not written */
  static decode(bytes: Buffer, environment: UserEnvironment): UserTable {
    if (bytes[0] !== FORMAT)
      throw new SyntaxError(`users are stored in format ${bytes[0]}, which this program does not know`);
    const users = JSON.parse(bytes.toString('utf8', USERS_AT)) as readonly (UserParts & { born: number })[];
    return new UserTable(
      UserTable.revisionOf(bytes),
      new Map(users.map((parts) => [parts.name, { user: User.fromParts(parts, environment), born: parts.born }])),
    );
  }
}
