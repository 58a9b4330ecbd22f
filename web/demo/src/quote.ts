/** How often each price changes. */
export const CHANGES_PER_SECOND = 2_500;

/** A price, as the server sends it. */
export interface Quote {
  price: number;
  /** Which change of this price it is. */
  number: number;
  /** When, by the server's clock, in seconds since 1970. */
  at: number;
}
