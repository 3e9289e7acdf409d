/** The users for operators, who come by another way than clients, so that the first user or a lost password can be mended. */
import { featureText, RedisError } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';

const FEATURE = 'redis.acl';

/** A user and the rules that make it of a new one. */
export interface UserRules {
  readonly name: string;
  readonly rules: string;
}

/** Texts of operators are UTF-8, those of users one byte a character. */
const inward = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
const outward = (text: string): string => Buffer.from(text, 'latin1').toString('utf8');

/** See the top of the file. All methods reject with RedisError, in the words of ACL. */
export class OperatorsUsers {
  private readonly state: ServerState;

  constructor(state: ServerState) {
    this.state = state;
  }

  /** False while nobody is let in but the operator of the configuration: users may be stored that this node does not know. */
  get areKnown(): boolean {
    return this.state.users.areKnown;
  }

  /** In order of their names. */
  async list(): Promise<readonly UserRules[]> {
    return this.state.users.all().map((user) => ({ name: outward(user.name), rules: outward(user.describe()) }));
  }

  /** Makes a user, or applies rules to one. @returns the user as it is then */
  async set(name: string, rules: readonly string[]): Promise<UserRules> {
    this.requireFeature('acl set');
    await this.state.users.set(inward(name), rules.map(inward));
    const user = (await this.list()).find((one) => one.name === name);
    if (user === undefined) throw new RedisError(`TRYAGAIN the user '${name}' was deleted meanwhile`);
    return user;
  }

  /** @returns how many of them were there */
  async remove(names: readonly string[]): Promise<number> {
    this.requireFeature('acl delete');
    return this.state.users.remove(names.map(inward));
  }

  private requireFeature(what: string): void {
    const standing = this.state.standingOf(FEATURE);
    if (standing.kind !== 'active') throw new RedisError(featureText(what, FEATURE, standing));
  }
}
