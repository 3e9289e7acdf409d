/** Users of Redis clients as operators see them. */

export interface RedisUserView {
  readonly name: string;
  /** That make this user of a new one. */
  readonly rules: string;
}

/** Whoever keeps the users. All methods reject with a KvorumError that says what to do. */
export interface UserAdmin {
  /** In order of their names. */
  list(): Promise<readonly RedisUserView[]>;
  /** Makes a user, or applies rules to one, in their order. @returns the user as it is then */
  set(name: string, rules: readonly string[]): Promise<RedisUserView>;
  /** @returns how many of them were there */
  remove(names: readonly string[]): Promise<number>;
}
