import type { Metadata, Viewport } from "next";
import type { ReactNode } from "react";

import "./style.css";

export const metadata: Metadata = { title: "Tasks", description: "What there is to do, on every screen at once." };
export const viewport: Viewport = { colorScheme: "light dark" };

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
