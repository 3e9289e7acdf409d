/** A key, and the database that it is in. */
export interface KeyPlace {
  readonly database: number;
  readonly key: Buffer;
}

/** A text that no other place has. */
export const placeName = ({ database, key }: KeyPlace): string => `${database} ${key.toString('latin1')}`;
