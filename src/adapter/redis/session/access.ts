/** Who the client of a connection is, and whether it may run what it sends. */
import { NOT_KNOWN, OPERATOR } from '../acl/index.ts';
import type {
  AccessEntry,
  AccessReason,
  CommandDeclaration,
  DeclaredCommand,
  EvaluationSettings,
  Identity,
  ResolvedCommand,
} from '../command/index.ts';
import type { ServerState } from '../state/index.ts';
import type { Standing } from './feature-wait.ts';
import { ShortWait } from './short-wait.ts';

/** What says something of the node only; clients and probes ask it when they connect. */
const HARMLESS_GROUPS: ReadonlySet<string> = new Set(['connection', 'cluster']);
const HARMLESS: ReadonlySet<string> = new Set(['info', 'command', 'time', 'role', 'lastsave']);

const comesAsOperator = (args: readonly Buffer[]): boolean => args.some((word) => word.toString('latin1') === OPERATOR);

/** Whether a command reaches no key, no channel and no other client, so that nobody has to be known for it. */
function isHarmless({ spec, fullName }: DeclaredCommand, args: readonly Buffer[]): boolean {
  if (spec.name === 'auth' || (spec.name === 'hello' && args.length > 2)) return comesAsOperator(args);
  if (spec.flags.includes('no_auth')) return true;
  if (spec.flags.includes('admin')) return false;
  return HARMLESS_GROUPS.has(spec.group) || HARMLESS.has(fullName.split('|', 1)[0]!);
}

/** It runs other commands, or finds keys that nobody has named. */
const needsCaller = ({ findsAnyKey, findsKeys }: CommandDeclaration): boolean =>
  findsAnyKey === true || findsKeys !== undefined;

/** See the top of the file. */
export class ClientAccess {
  private readonly server: ServerState;
  /** A command waits for the users to be known. */
  private readonly wait: ShortWait;
  private readonly describe: () => string;
  private who: Identity;
  /** It has come in with a password, or needed none when it connected. */
  private isIn: boolean;
  /** Whether it needed a password was decided before the users were known. */
  private isProvisional: boolean;

  /**
   * @param lookAgain called when a command that waits should be asked about again
   * @param describe the client's line of CLIENT LIST
   */
  constructor(server: ServerState, lookAgain: () => void, describe: () => string) {
    this.server = server;
    this.wait = new ShortWait(server, lookAgain);
    this.describe = describe;
    this.who = server.users.defaultIdentity;
    this.isIn = this.who.user.isFree;
    this.isProvisional = !server.users.areKnown;
  }

  get identity(): Identity {
    return this.who;
  }

  get isAuthenticated(): boolean {
    this.decide();
    return this.isIn || this.server.users.defaultIdentity.user.isFree;
  }

  /** The client has come in. */
  authenticated(identity: Identity): void {
    this.who = identity;
    this.isIn = true;
    this.isProvisional = false;
  }

  /** RESET: as after connecting. */
  reset(): void {
    this.who = this.server.users.defaultIdentity;
    this.isIn = this.who.user.isFree;
    this.isProvisional = !this.server.users.areKnown;
  }

  /** The users have changed. @returns false when the client's user is gone, and so has to be the client */
  renew(): boolean {
    const now = this.server.users.renewed(this.who);
    if (now === undefined) return false;
    this.who = now;
    this.decide();
    return true;
  }

  /** Whether a client that came before the users were known has to give a password. */
  private decide(): void {
    if (!this.isProvisional || !this.server.users.areKnown) return;
    this.isProvisional = false;
    this.who = this.server.users.defaultIdentity;
    this.isIn = this.who.user.isFree;
  }

  /**
   * While the users are not known nobody may do anything but the operator. A command waits a little: the node has just begun, or another
   * one takes over.
   */
  standingOf(command: ResolvedCommand, args: readonly Buffer[]): Standing {
    if (this.server.users.areKnown || this.who.isOperator || isHarmless(command, args)) {
      this.wait.end();
      return 'go';
    }
    return this.wait.goesOn() ? 'wait' : { refusal: NOT_KNOWN };
  }

  /** What commands are evaluated with: with the client's rules where the one who evaluates them has to know them. */
  settingsFor(commands: readonly { readonly spec: CommandDeclaration }[]): EvaluationSettings {
    const { settings, users } = this.server;
    const isNeeded = !this.who.user.isUnlimited && commands.some(({ spec }) => needsCaller(spec));
    return isNeeded ? { ...settings, caller: users.callerOf(this.who, this.describe()) } : settings;
  }

  /** Why the client may not run a command, which is noted; undefined when it may. The arity must have been checked. */
  refusalOf(
    command: DeclaredCommand,
    args: readonly Buffer[],
    context: 'toplevel' | 'multi',
  ): { readonly text: string; readonly reason: Exclude<AccessReason, 'auth'> } | undefined {
    if (this.who.user.isUnlimited) return undefined;
    const refusal = this.server.users.refusalOf(this.who, command, args);
    if (refusal === undefined) return undefined;
    const { reason, object, text } = refusal;
    this.note({ reason, context, object, userName: this.who.user.name });
    return { text, reason };
  }

  /** Notes what was not permitted. */
  note(denied: Pick<AccessEntry, 'reason' | 'context' | 'object' | 'userName'>): void {
    this.server.users.log.add({ ...denied, clientInfo: this.describe() });
  }
}
