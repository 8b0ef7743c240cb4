import { useEffect, useRef } from "react";

/** Shows more when it comes into sight, or is pressed. Each page has its own, by its key. */
export function More({ show }: { show: () => void }) {
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && show(), { rootMargin: "400px" });
    observer.observe(button.current!);
    return () => observer.disconnect();
  }, []);

  return (
    <button ref={button} onClick={show}>
      More
    </button>
  );
}
